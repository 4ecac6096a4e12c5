import { keyOf, type PersistentVolumeClaim, type Pod, type Stored } from "@tripod/api/kubernetes";
import { codeOf, failpoint, messageOf, TripodError } from "@tripod/base";
import { type EventRecorder, persistentVolumeClaims, pods, WorkQueue } from "@tripod/kube";
import type { ControllerContext } from "../context.ts";
import { claimKeysOf } from "../volumes/pod-claims.ts";
import { decideEphemeral, podOwners } from "./decide-ephemeral.ts";

/** Makes the claims of Pods' ephemeral volumes, and deletes claims that go with a Pod when it is gone. */
export class EphemeralClaims implements AsyncDisposable {
  readonly #context: ControllerContext;
  readonly #recorder: EventRecorder;
  readonly #pods: WorkQueue;
  readonly #claims: WorkQueue;
  readonly #stack = new DisposableStack();

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#recorder = context.recorder("ephemeral_volume");
    const { world, log } = context;
    this.#pods = new WorkQueue({ name: "ephemeral volumes", log }, (key) => this.#syncPod(key));
    this.#claims = new WorkQueue({ name: "claims of Pods that are gone", log }, (key) => this.#syncClaim(key));
    const podChanged = (pod: Stored<Pod>): void => {
      if (pod.spec.volumes?.some(({ ephemeral }) => ephemeral !== undefined) === true) this.#pods.add(keyOf(pod));
    };
    this.#stack.defer(
      world.pods.on({
        added: podChanged,
        deleted: (pod) => {
          for (const key of claimKeysOf(pod)) this.#claims.add(key);
        },
      }),
    );
    const claimChanged = (claim: Stored<PersistentVolumeClaim>): void => {
      const isAlone = podOwners(claim).some(({ name, uid }) => !this.#exists(claim, name, uid));
      if (isAlone) this.#claims.add(keyOf(claim));
    };
    this.#stack.defer(
      world.claims.on({
        added: claimChanged,
        updated: claimChanged,
        // The Pod may need it anew.
        deleted: (claim) => {
          for (const pod of world.pods.byIndex("claim", keyOf(claim))) podChanged(pod);
        },
      }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stack.dispose();
    await Promise.all([this.#pods.close(), this.#claims.close()]);
  }

  #exists({ metadata }: PersistentVolumeClaim, pod: string, uid: string): boolean {
    return this.#context.world.pods.get(`${metadata.namespace}/${pod}`)?.metadata.uid === uid;
  }

  async #syncPod(key: string): Promise<void> {
    const { world, client } = this.#context;
    const pod = world.pods.get(key);
    if (pod === undefined || pod.metadata.deletionTimestamp !== undefined) return;
    const { name, namespace = "default" } = pod.metadata;
    for (const volume of pod.spec.volumes ?? []) {
      const decision = decideEphemeral(pod, volume, world.claims.get(`${namespace}/${name}-${volume.name}`));
      if (decision.kind === "conflict") {
        this.#recorder.record({ about: pod, type: "Warning", reason: "FailedBinding", message: decision.message });
        throw new TripodError("already-exists", `pod ${key}, ${decision.message}`);
      }
      if (decision.kind === "none") continue;
      try {
        await client.resource(persistentVolumeClaims).create(decision.claim);
        failpoint("controllers.ephemeral.claim-made");
      } catch (error) {
        // The cache lags behind: the claim was made before, by us or by somebody else, and will be looked at then.
        if (codeOf(error) === "already-exists") throw error;
        const message = `ephemeral volume ${volume.name}: ${messageOf(error)}`;
        this.#recorder.record({ about: pod, type: "Warning", reason: "FailedBinding", message });
        throw error;
      }
    }
  }

  /** Nobody follows owners on this API server, so that claims would stay behind. */
  async #syncClaim(key: string): Promise<void> {
    const { world, client } = this.#context;
    const claim = world.claims.get(key);
    if (claim === undefined || claim.metadata.deletionTimestamp !== undefined) return;
    const owners = podOwners(claim);
    if (owners.length === 0 || owners.some(({ name, uid }) => this.#exists(claim, name, uid))) return;
    const { name, namespace = "default", uid } = claim.metadata;
    // Data hangs on this, and a cache may not have seen a Pod yet: the API server is asked.
    for (const owner of owners)
      if ((await client.resource(pods).find(owner.name, { namespace }))?.metadata.uid === owner.uid) return;
    try {
      await client.resource(persistentVolumeClaims).delete(name, { namespace, uid });
      failpoint("controllers.ephemeral.claim-deleted");
    } catch (error) {
      if (codeOf(error) !== "not-found" && codeOf(error) !== "conflict") throw error;
    }
  }
}
