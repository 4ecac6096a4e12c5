import type { IncomingMessage } from "node:http";
import {
  apiVersionOf,
  type DeleteOptions,
  type GroupVersionKind,
  type KubernetesObject,
  protobufContentType,
} from "@tripod/api/kubernetes";
import { apply } from "../verbs/apply.ts";
import { applyPatchType, patch } from "../verbs/patch.ts";
import { create } from "../verbs/create.ts";
import { type Body, checkFieldValidation, decodeAs, mediaTypeOf, parseBody } from "../verbs/decode-body.ts";
import { deleteCollection } from "../verbs/delete-collection.ts";
import { deletedStatus, deleteOptionsOf, remove } from "../verbs/delete.ts";
import { list } from "../verbs/list.ts";
import { renderObject, renderStored } from "../verbs/render.ts";
import { booleanParameter, type ResourceRequest } from "../verbs/request.ts";
import { read, update } from "../verbs/update.ts";
import { watch } from "../verbs/watch.ts";
import { verbsOf } from "../registry/resource.ts";
import { badRequest, methodNotAllowed, notAcceptable, unsupportedMediaType } from "./api-error.ts";
import { negotiate, wantsProtobufAlone } from "./negotiate.ts";
import { readBody } from "./read-body.ts";
import { type Exchange, sendJson, sendLines, sendText } from "./reply.ts";

const byMethod: Readonly<Record<string, readonly [onObject: string, onCollection: string]>> = {
  GET: ["get", "list"],
  HEAD: ["get", "list"],
  POST: ["create", "create"],
  PUT: ["update", "update"],
  PATCH: ["patch", "patch"],
  DELETE: ["delete", "deletecollection"],
};

/** The verb of a request on a resource, as authorization and discovery name it. */
export function verbOf(method: string, name: string | undefined, query: URLSearchParams): string {
  const [onObject, onCollection] = byMethod[method] ?? [method.toLowerCase(), method.toLowerCase()];
  if ((method === "GET" || method === "HEAD") && booleanParameter(query, "watch") === true) return "watch";
  return name === undefined ? onCollection : onObject;
}

const bodyOf = async (http: IncomingMessage): Promise<Body> => ({
  contentType: http.headers["content-type"] ?? "",
  bytes: await readBody(http),
});

/** The object in the body, as the resource's kind or as another. */
export async function bodyObject(
  http: IncomingMessage,
  request: ResourceRequest,
  kind: GroupVersionKind = request.resource,
): Promise<KubernetesObject> {
  checkFieldValidation(request.query);
  const options = { fieldValidation: request.query.get("fieldValidation"), warnings: request.warnings };
  const body = await bodyOf(http);
  if (request.resource.custom === true && mediaTypeOf(body.contentType) === protobufContentType)
    throw unsupportedMediaType(["application/json", "application/yaml"]);
  return decodeAs(kind, parseBody(body), options);
}

const deleteOptionsKind: GroupVersionKind = { group: "", version: "v1", kind: "DeleteOptions" };

async function readDeleteOptions(http: IncomingMessage, request: ResourceRequest): Promise<DeleteOptions> {
  const body = await bodyOf(http);
  if (body.bytes.length === 0) return deleteOptionsOf({}, request.query);
  const parsed = parseBody(body);
  const given = parsed.value;
  // Clients name it under their own group's version as well.
  const plain =
    typeof given === "object" && given !== null ? { ...given, apiVersion: apiVersionOf(deleteOptionsKind) } : given;
  const options = { fieldValidation: "Ignore", warnings: [] };
  const { metadata: _metadata, ...decoded } = decodeAs(deleteOptionsKind, { ...parsed, value: plain }, options);
  return deleteOptionsOf(decoded, request.query);
}

/** The generic verbs on a resource or on its status. */
export async function serveResource(exchange: Exchange, request: ResourceRequest): Promise<void> {
  const { http } = exchange;
  const { resource, query, name, warnings } = request;
  const verb = verbOf(http.method ?? "GET", name, query);
  const served: readonly string[] = verbsOf(resource);
  if (!served.includes(verb) || (name === undefined && (verb === "update" || verb === "patch")))
    throw methodNotAllowed(`${verb} ${resource.plural}`);
  const dryRun = query.getAll("dryRun").find((each) => each !== "All");
  if (dryRun) throw badRequest(`dryRun: Unsupported value: ${JSON.stringify(dryRun)}: supported values: "All"`);
  if (resource.custom === true && wantsProtobufAlone(http.headers.accept)) throw notAcceptable();
  const format = negotiate(http.headers.accept, query);
  const reply = (object: KubernetesObject, code = 200): Promise<void> =>
    sendText(exchange, renderObject(resource, object, format), { code, warnings });
  switch (verb) {
    case "get":
      return sendText(exchange, renderStored(resource, await read(request), format), { warnings });
    case "list":
      return sendText(exchange, await list(request, format), { warnings });
    case "watch":
      return sendLines(exchange, (await watch(request, format)).lines());
    case "create":
      if (name !== undefined) throw methodNotAllowed(`create ${resource.plural}/${name}`);
      return reply(await create(request, await bodyObject(http, request)), 201);
    case "update":
      return reply(await update(request, await bodyObject(http, request)));
    case "patch": {
      checkFieldValidation(query);
      const body = await bodyOf(http);
      if (mediaTypeOf(body.contentType) === applyPatchType) {
        const { object, isNew } = await apply(request, body);
        return reply(object, isNew ? 201 : 200);
      }
      return reply(await patch(request, body));
    }
    case "delete": {
      const { object, gone } = await remove(request, name ?? "", await readDeleteOptions(http, request));
      // A Pod that is gone is shown as it was: kubectl and kubelets look at it.
      return gone && resource.plural !== "pods" ? sendJson(exchange, deletedStatus(request, object)) : reply(object);
    }
    case "deletecollection": {
      const deleted = await deleteCollection(request, await readDeleteOptions(http, request));
      const texts = deleted.map((stored) => renderStored(resource, stored, { kind: "object" }));
      const head = JSON.stringify({ kind: `${resource.kind}List`, apiVersion: apiVersionOf(resource), metadata: {} });
      return sendText(exchange, `${head.slice(0, -1)},"items":[${texts.join(",")}]}`);
    }
    default:
      throw methodNotAllowed(`${verb} ${resource.plural}`);
  }
}
