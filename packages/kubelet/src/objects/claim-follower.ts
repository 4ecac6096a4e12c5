import type { PersistentVolume, PersistentVolumeClaim, Pod } from "@tripod/api/kubernetes";
import type { Logger } from "@tripod/base";
import { type KubeClient, persistentVolumeClaims, persistentVolumes } from "@tripod/kube";
import { namespaceOf, uidOf } from "../pods/pod-facts.ts";
import { claimNameOf } from "../volumes/claim-name.ts";
import { ObjectFollower } from "./object-follower.ts";

/** Follows the claims of this node's Pods, and the PersistentVolumes behind them: they may be bound, grow, or become lost at any time. */
export class ClaimFollower implements AsyncDisposable {
  readonly #claims: ObjectFollower<PersistentVolumeClaim>;
  readonly #volumes: ObjectFollower<PersistentVolume>;

  constructor(client: KubeClient, log: Logger) {
    this.#claims = new ObjectFollower(client.resource(persistentVolumeClaims), log);
    this.#volumes = new ObjectFollower(client.resource(persistentVolumes), log);
  }

  follow(pod: Pod, onChange: () => void): void {
    for (const volume of pod.spec?.volumes ?? []) {
      const claimName = claimNameOf(pod, volume);
      if (claimName === undefined) continue;
      const key = `${namespaceOf(pod)}/${claimName}`;
      this.#claims.follow(key, uidOf(pod), () => {
        onChange();
        void this.#followVolume(key, pod, onChange);
      });
    }
  }

  async #followVolume(claim: string, pod: Pod, onChange: () => void): Promise<void> {
    const found = await this.#claims.get(claim).catch(() => undefined); // its watch tells again
    const name = found?.spec?.volumeName ?? "";
    if (name !== "") this.#volumes.follow(name, uidOf(pod), onChange);
  }

  unfollow(podUid: string): void {
    this.#claims.unfollow(podUid);
    this.#volumes.unfollow(podUid);
  }

  claim(namespace: string, name: string): Promise<PersistentVolumeClaim | undefined> {
    return this.#claims.get(`${namespace}/${name}`);
  }

  volume(name: string): Promise<PersistentVolume | undefined> {
    return this.#volumes.get(name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#claims[Symbol.asyncDispose](), this.#volumes[Symbol.asyncDispose]()]);
  }
}
