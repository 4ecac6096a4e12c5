import { timeNow, type TokenRequest } from "@tripod/api/kubernetes";
import { issuer, signToken } from "../auth/token.ts";
import { badRequest, notFound } from "../http/api-error.ts";
import type { Pki } from "../pki/pki.ts";
import type { ApiObject } from "../registry/api-object.ts";
import type { ResourceRequest } from "../verbs/request.ts";

const pods = { group: "", plural: "pods", storageName: "pods", namespaced: true } as const;
const shortestSeconds = 600;
const longestSeconds = 365 * 24 * 3600;

/** POST serviceaccounts/NAME/token: a signed token for the account, bound to a Pod where the request names one. */
export function requestToken(request: ResourceRequest, wanted: TokenRequest, account: ApiObject, pki: Pki): object {
  const { namespace = "" } = account.metadata;
  const { boundObjectRef: bound } = wanted.spec;
  const seconds = wanted.spec.expirationSeconds ?? 3600;
  if (seconds < shortestSeconds)
    throw badRequest(
      `spec.expirationSeconds: Invalid value: ${seconds}: may not specify a duration less than 10 minutes`,
    );
  let pod: { name: string; uid: string } | undefined;
  if (bound !== undefined) {
    if (bound.kind !== "Pod")
      throw badRequest(
        `spec.boundObjectRef.kind: Unsupported value: ${JSON.stringify(bound.kind)}: supported values: "Pod"`,
      );
    const found = request.store.find(pods, namespace, bound.name ?? "");
    if (found === undefined || (bound.uid && found.metadata.uid !== bound.uid)) throw notFound(pods, bound.name ?? "");
    pod = { name: found.metadata.name ?? "", uid: found.metadata.uid ?? "" };
  }
  const now = Math.floor(Date.now() / 1000);
  const expiry = now + Math.min(seconds, longestSeconds);
  const audiences = wanted.spec.audiences?.length ? wanted.spec.audiences : [issuer];
  const token = signToken(pki.tokenKey, {
    iss: issuer,
    sub: `system:serviceaccount:${namespace}:${account.metadata.name}`,
    aud: audiences,
    iat: now,
    nbf: now,
    exp: expiry,
    "kubernetes.io": {
      namespace,
      serviceaccount: { name: account.metadata.name ?? "", uid: account.metadata.uid ?? "" },
      ...(pod === undefined ? {} : { pod }),
    },
  });
  return {
    kind: "TokenRequest",
    apiVersion: "authentication.k8s.io/v1",
    metadata: { name: account.metadata.name, namespace, creationTimestamp: timeNow() },
    spec: { ...wanted.spec, audiences, expirationSeconds: seconds },
    status: { token, expirationTimestamp: new Date(expiry * 1000).toISOString().replace(".000Z", "Z") },
  };
}
