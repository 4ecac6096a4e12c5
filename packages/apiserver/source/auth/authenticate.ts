import type { IncomingMessage } from "node:http";
import type { TLSSocket } from "node:tls";
import type { Pki } from "../pki/pki.ts";
import type { ObjectStore } from "../registry/object-store.ts";
import type { User } from "../registry/resource.ts";
import { verifyToken } from "./token.ts";

const anonymous: User = { name: "system:anonymous", groups: ["system:unauthenticated"] };
const serviceAccounts = {
  group: "",
  plural: "serviceaccounts",
  storageName: "serviceaccounts",
  namespaced: true,
} as const;

const list = (value: string | string[] | undefined): string[] =>
  value === undefined ? [] : Array.isArray(value) ? value : [value];

/** Who sends the request: a client certificate of our authority, or a service-account token; undefined for a bad token. */
export function authenticate(request: IncomingMessage, pki: Pki, store: ObjectStore): User | undefined {
  const socket = request.socket as TLSSocket; // the server listens with TLS alone
  const subject = socket.authorized ? socket.getPeerCertificate()?.subject : undefined;
  if (subject?.CN !== undefined) {
    // The type says string; a subject with several organizations has a list.
    const groups = list(subject.O as string | string[] | undefined);
    return { name: String(subject.CN), groups: [...groups, "system:authenticated"] };
  }
  const header = request.headers.authorization;
  if (header === undefined) return anonymous;
  const token = /^Bearer (\S+)$/i.exec(header)?.[1];
  const claims = token === undefined ? undefined : verifyToken(pki.tokenKey, token);
  if (claims === undefined) return undefined;
  const { namespace, serviceaccount } = claims["kubernetes.io"];
  if (store.find(serviceAccounts, namespace, serviceaccount.name)?.metadata.uid !== serviceaccount.uid)
    return undefined;
  return {
    name: claims.sub,
    groups: ["system:serviceaccounts", `system:serviceaccounts:${namespace}`, "system:authenticated"],
  };
}
