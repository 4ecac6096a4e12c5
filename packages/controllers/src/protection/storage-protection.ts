import { keyOf, type Pod, type Stored } from "@tripod/api/kubernetes";
import { persistentVolumeClaims, persistentVolumes, pods, WorkQueue } from "@tripod/kube";
import { addFinalizer, removeFinalizer } from "../finalizers.ts";
import type { ControllerContext } from "../context.ts";
import { claimKeysOf, isFinished } from "../volumes/pod-claims.ts";
import { claimFinalizer, protectClaim, protectVolume, volumeFinalizer } from "./decide-protection.ts";

/** Keeps claims that Pods use, and volumes that are bound, from being deleted under them. */
export class StorageProtection implements AsyncDisposable {
  readonly #context: ControllerContext;
  readonly #claims: WorkQueue;
  readonly #volumes: WorkQueue;
  readonly #stack = new DisposableStack();

  constructor(context: ControllerContext) {
    this.#context = context;
    const { world, log } = context;
    this.#claims = new WorkQueue({ name: "claim protection", log }, (key) => this.#syncClaim(key));
    this.#volumes = new WorkQueue({ name: "volume protection", log }, (key) => this.#syncVolume(key));
    const claimChanged = (claim: { metadata: { name: string; namespace?: string } }): void =>
      this.#claims.add(keyOf(claim));
    this.#stack.defer(world.claims.on({ added: claimChanged, updated: claimChanged }));
    const podEnded = (pod: Stored<Pod>): void => {
      for (const key of claimKeysOf(pod)) this.#claims.add(key);
    };
    this.#stack.defer(
      world.pods.on({
        updated: (pod) => {
          if (isFinished(pod)) podEnded(pod);
        },
        deleted: podEnded,
      }),
    );
    const volumeChanged = (volume: { metadata: { name: string } }): void => this.#volumes.add(volume.metadata.name);
    this.#stack.defer(world.volumes.on({ added: volumeChanged, updated: volumeChanged }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stack.dispose();
    await Promise.all([this.#claims.close(), this.#volumes.close()]);
  }

  async #syncClaim(key: string): Promise<void> {
    const { world, client } = this.#context;
    const claim = world.claims.get(key);
    if (claim === undefined) return;
    const resource = client.resource(persistentVolumeClaims);
    const decision = protectClaim(claim, world.pods.byIndex("claim", key));
    if (decision === "add") await addFinalizer(resource, claim, claimFinalizer);
    if (decision !== "remove") return;
    // The cache may lag behind a Pod that was just bound; data hangs on this, so the API server is asked.
    const { items } = await client.resource(pods).list({ namespace: claim.metadata.namespace ?? "default" });
    const users = items.filter((pod) => claimKeysOf(pod).includes(key));
    if (protectClaim(claim, users) === "remove") await removeFinalizer(resource, claim, claimFinalizer);
  }

  async #syncVolume(name: string): Promise<void> {
    const { world, client } = this.#context;
    const volume = world.volumes.get(name);
    if (volume === undefined) return;
    const resource = client.resource(persistentVolumes);
    const decision = protectVolume(volume);
    if (decision === "add") await addFinalizer(resource, volume, volumeFinalizer);
    if (decision === "remove") await removeFinalizer(resource, volume, volumeFinalizer);
  }
}
