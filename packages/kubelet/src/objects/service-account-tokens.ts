import type { TokenRequest } from "@tripod/api/kubernetes";
import { type KubeClient, serviceAccounts } from "@tripod/kube";
import { nameOf, namespaceOf, uidOf } from "../pods/pod-facts.ts";
import { timestampOf, unixMsOf } from "../pods/timestamp.ts";
import type { TokenSource } from "../volumes/projected-payload.ts";

interface Held {
  readonly token: string;
  readonly expirationTimestamp: string;
  readonly renewAtMs: number;
}

const dayMs = 86_400_000;

/** Service-account tokens of Pods, asked for once and again after 80 % of their life or a day. */
export class ServiceAccountTokens {
  readonly #client: KubeClient;
  readonly #held = new Map<string, Held>();

  constructor(client: KubeClient) {
    this.#client = client;
  }

  readonly token: TokenSource = async (pod, { audience, expirationSeconds }) => {
    const key = [uidOf(pod), audience ?? "", expirationSeconds].join("/");
    const held = this.#held.get(key);
    if (held !== undefined && held.renewAtMs > Date.now()) return held;
    const request: TokenRequest = {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenRequest",
      metadata: {},
      spec: {
        audiences: audience === undefined ? [] : [audience],
        expirationSeconds,
        boundObjectRef: { apiVersion: "v1", kind: "Pod", name: nameOf(pod), uid: uidOf(pod) },
      },
    };
    const account = pod.spec?.serviceAccountName ?? "default";
    const { status } = await this.#client
      .resource(serviceAccounts)
      .createSubresource<TokenRequest>(account, "token", request, { namespace: namespaceOf(pod) });
    const token = status?.token ?? "";
    const expirationTimestamp = status?.expirationTimestamp ?? timestampOf(Date.now() + expirationSeconds * 1000);
    const lifeMs = (unixMsOf(expirationTimestamp) ?? 0) - Date.now();
    const fresh = { token, expirationTimestamp, renewAtMs: Date.now() + Math.min(dayMs, lifeMs * 0.8) };
    this.#held.set(key, fresh);
    return fresh;
  };

  /** Forgets the tokens of a Pod that is gone. */
  forget(podUid: string): void {
    for (const key of this.#held.keys()) if (key.startsWith(`${podUid}/`)) this.#held.delete(key);
  }
}
