import type { Binding, Eviction, Namespace, Pod, ServiceAccount, TokenRequest } from "@tripod/api/kubernetes";
import type { TokenSigner } from "../auth/service-account-token.ts";
import { badRequest, methodNotAllowed } from "../http/api-error.ts";
import { type Exchange, sendJson } from "../http/reply.ts";
import { bodyObject } from "../http/serve-resource.ts";
import type { StoredObject } from "../registry/stored-object.ts";
import { remove } from "../verbs/delete.ts";
import type { ResourceRequest } from "../verbs/request.ts";
import { read } from "../verbs/update.ts";
import { bindPod, created } from "./bind-pod.ts";
import { finalizeNamespace } from "./finalize-namespace.ts";
import type { KubeletConnection } from "./kubelet-target.ts";
import { servePodLog } from "./pod-log.ts";
import { requestToken } from "./request-token.ts";

/** What subresources need beside the request. */
export interface SubresourceServices {
  readonly kubelets: KubeletConnection;
  readonly tokens: TokenSigner;
}

/** Subresources that leave HTTP. */
export const isStreamed = (subresource: string | undefined): boolean =>
  subresource === "exec" || subresource === "attach" || subresource === "portforward";

/** The object that the request names, as the kind that the resource of the path holds. */
const readAs = async <T extends StoredObject["object"]>(request: ResourceRequest): Promise<StoredObject<T>> =>
  (await read(request)) as StoredObject<T>; // the caller has looked at the resource

/** Every subresource but status and those that leave HTTP. */
export async function serveSubresource(
  exchange: Exchange,
  request: ResourceRequest,
  services: SubresourceServices,
): Promise<void> {
  const { http } = exchange;
  const { resource, subresource } = request;
  const operation = `${http.method} ${resource.plural}/${subresource}`;
  // Bodies below are decoded as the kind that each call names.
  switch (operation) {
    case "GET pods/log":
      return servePodLog(exchange, request, { pod: (await readAs<Pod>(request)).object, kubelets: services.kubelets });
    case "POST pods/binding": {
      const binding = (await bodyObject(http, request, { group: "", version: "v1", kind: "Binding" })) as Binding;
      return sendJson(exchange, await bindPod(request, binding, await readAs<Pod>(request)), { code: 201 });
    }
    case "POST pods/eviction": {
      const kind = { group: "policy", version: "v1", kind: "Eviction" };
      const eviction = (await bodyObject(http, request, kind)) as Eviction;
      await remove(request, request.name ?? "", eviction.deleteOptions ?? {});
      return sendJson(exchange, created, { code: 201 });
    }
    case "POST serviceaccounts/token": {
      const kind = { group: "authentication.k8s.io", version: "v1", kind: "TokenRequest" };
      const wanted = (await bodyObject(http, request, kind)) as TokenRequest;
      const account = (await readAs<ServiceAccount>(request)).object;
      const answer = await requestToken(request, { wanted, account, tokens: services.tokens });
      return sendJson(exchange, answer, { code: 201 });
    }
    case "PUT namespaces/finalize": {
      const given = (await bodyObject(http, request)) as Namespace;
      return sendJson(exchange, await finalizeNamespace(request, given, await readAs<Namespace>(request)));
    }
    default:
      if (isStreamed(subresource)) throw badRequest("Upgrade request required");
      throw methodNotAllowed(operation);
  }
}
