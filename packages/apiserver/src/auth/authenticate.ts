import type { IncomingMessage } from "node:http";
import { TLSSocket } from "node:tls";
import type { Pod, ServiceAccount } from "@tripod/api/kubernetes";
import type { ObjectStore } from "../registry/object-store.ts";
import type { User } from "../registry/resource.ts";
import { pods } from "../resources/pod/pod.ts";
import { serviceAccounts } from "../resources/service-account.ts";
import type { TokenSigner } from "./service-account-token.ts";

const anonymous: User = { name: "system:anonymous", groups: ["system:unauthenticated"] };

/** Whom a connection's certificate names: looked up once a connection. */
const byConnection = new WeakMap<TLSSocket, User | "refused" | "none">();

/** A subject with several organizations has a list of them, whatever the declared type says. */
const toList = (value: unknown): string[] => [value ?? []].flat().map(String);

function certificateUser(socket: TLSSocket): User | "refused" | "none" {
  const known = byConnection.get(socket);
  if (known !== undefined) return known;
  // An empty object when the client showed none.
  const subject: { CN?: unknown; O?: unknown } | undefined = socket.getPeerCertificate().subject;
  let user: User | "refused" | "none" = "none";
  if (typeof subject?.CN === "string")
    user = socket.authorized ? { name: subject.CN, groups: [...toList(subject.O), "system:authenticated"] } : "refused";
  byConnection.set(socket, user);
  return user;
}

/**
 * Who sends a request: the name in a client certificate of our authority, or the service account of a token that we signed, whose
 * account (and Pod, where it is bound to one) still exists; undefined for credentials that prove nothing.
 */
export async function authenticate(
  request: IncomingMessage,
  tokens: TokenSigner,
  store: ObjectStore,
): Promise<User | undefined> {
  if (!(request.socket instanceof TLSSocket)) return undefined;
  const shown = certificateUser(request.socket);
  if (shown === "refused") return undefined;
  if (shown !== "none") return shown;
  const { authorization } = request.headers;
  if (authorization === undefined) return anonymous;
  const token = /^Bearer (\S+)$/i.exec(authorization)?.[1];
  const claims = token === undefined ? undefined : tokens.verify(token);
  if (claims === undefined) return undefined;
  const { namespace, serviceaccount, pod } = claims["kubernetes.io"];
  const account = await store.find<ServiceAccount>(serviceAccounts, namespace, serviceaccount.name);
  if (account?.object.metadata.uid !== serviceaccount.uid) return undefined;
  if (pod !== undefined) {
    const bound = await store.find<Pod>(pods, namespace, pod.name);
    if (bound?.object.metadata.uid !== pod.uid) return undefined;
  }
  return {
    name: claims.sub,
    uid: serviceaccount.uid,
    groups: ["system:serviceaccounts", `system:serviceaccounts:${namespace}`, "system:authenticated"],
    extra: {
      "authentication.kubernetes.io/credential-id": [`JTI=${claims.jti}`],
      ...(pod === undefined
        ? {}
        : {
            "authentication.kubernetes.io/pod-name": [pod.name],
            "authentication.kubernetes.io/pod-uid": [pod.uid],
          }),
    },
  };
}
