import { randomUUID } from "node:crypto";
import { formatTime, type Pod, type ServiceAccount, timeNow, type TokenRequest } from "@tripod/api/kubernetes";
import { type BoundObject, tokenIssuer, type TokenSigner } from "../auth/service-account-token.ts";
import { conflict, forbidden, invalid, notFound } from "../http/api-error.ts";
import { FieldErrors } from "../registry/field-errors.ts";
import { checkNodeOwns } from "../resources/pod/node-restriction.ts";
import { pods } from "../resources/pod/pod.ts";
import { serviceAccounts } from "../resources/service-account.ts";
import type { ResourceRequest } from "../verbs/request.ts";

const shortestSeconds = 600;
/** What is asked for beyond this is cut. */
const longestSeconds = 365 * 24 * 3600;
const tokenKind = { group: "authentication.k8s.io", kind: "TokenRequest" };

/**
 * The Pod that a token is to be bound to, if it is to be bound. A kubelet gets tokens for its own Pods alone: one stolen node must not
 * speak for every account.
 */
async function boundPod(
  request: ResourceRequest,
  wanted: TokenRequest,
  { name: account = "", namespace = "" }: ServiceAccount["metadata"],
): Promise<BoundObject | undefined> {
  const reference = wanted.spec.boundObjectRef;
  const isNode = request.user.groups.includes("system:nodes");
  if (reference === undefined) {
    if (isNode) throw forbidden(serviceAccounts, account, "node requested token not bound to a pod");
    return undefined;
  }
  const name = reference.name ?? "";
  const found = await request.store.find<Pod>(pods, namespace, name);
  if (found === undefined) throw notFound(pods, name);
  const { uid = "" } = found.object.metadata;
  if (reference.uid && reference.uid !== uid)
    throw conflict(
      pods,
      name,
      `the UID in the bound object reference (${reference.uid}) does not match the UID in record. The object might have been deleted and then recreated`,
    );
  checkNodeOwns(found.object, request.user, "request tokens for");
  if (isNode && (found.object.spec.serviceAccountName || "default") !== account)
    throw forbidden(serviceAccounts, account, `pod ${JSON.stringify(name)} does not run as this service account`);
  return { name, uid };
}

/** POST serviceaccounts/NAME/token: a signed token for the account, bound to a Pod where the request names one. */
export async function requestToken(
  request: ResourceRequest,
  options: { readonly wanted: TokenRequest; readonly account: ServiceAccount; readonly tokens: TokenSigner },
): Promise<TokenRequest> {
  const { wanted, account, tokens } = options;
  const { name = "", namespace = "", uid = "" } = account.metadata;
  wanted.spec ??= {};
  const seconds = wanted.spec.expirationSeconds ?? 3600;
  const errors = new FieldErrors();
  if (seconds < shortestSeconds)
    errors.invalid("spec.expirationSeconds", seconds, "may not specify a duration less than 10 minutes");
  if (seconds > 2 ** 32)
    errors.invalid("spec.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds");
  const { kind } = wanted.spec.boundObjectRef ?? {};
  if (kind !== undefined && kind !== "Pod") errors.notSupported("spec.boundObjectRef.kind", kind, ["Pod"]);
  if (errors.causes.length > 0) throw invalid(tokenKind, wanted, errors.causes);
  const pod = await boundPod(request, wanted, account.metadata);
  const now = Math.floor(Date.now() / 1000);
  const expiry = now + Math.min(seconds, longestSeconds);
  const audiences = wanted.spec.audiences?.length ? wanted.spec.audiences : [tokenIssuer];
  const token = tokens.sign({
    iss: tokenIssuer,
    sub: `system:serviceaccount:${namespace}:${name}`,
    aud: audiences,
    iat: now,
    nbf: now,
    exp: expiry,
    jti: randomUUID(),
    "kubernetes.io": { namespace, serviceaccount: { name, uid }, ...(pod === undefined ? {} : { pod }) },
  });
  return {
    kind: "TokenRequest",
    apiVersion: "authentication.k8s.io/v1",
    metadata: { name, namespace, creationTimestamp: timeNow() },
    spec: { ...wanted.spec, audiences, expirationSeconds: expiry - now },
    status: { token, expirationTimestamp: formatTime({ seconds: expiry }) },
  };
}
