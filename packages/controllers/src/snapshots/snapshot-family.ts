import {
  keyOf,
  type KubernetesObject,
  type PersistentVolumeClaim,
  type Stored,
  timeNow,
  type VolumeSnapshotError,
} from "@tripod/api/kubernetes";
import { failpoint } from "@tripod/base";
import { type EventRecorder, persistentVolumeClaims, type ResourceRef } from "@tripod/kube";
import type { ControllerContext } from "../context.ts";
import { addFinalizer } from "../finalizers.ts";
import { ignoreExisting } from "../ignore-existing.ts";
import { ignoreGone } from "../ignore-gone.ts";
import { snapshotSourceFinalizer } from "../protection/decide-source-protection.ts";
import type { SnapshotAnnotations } from "./snapshot-names.ts";
import { statusEvents } from "./snapshot-status.ts";

/** What snapshots, and snapshots of groups, have in their status alike. */
interface Snapshot extends KubernetesObject {
  status?: { readonly creationTime?: string; readonly readyToUse?: boolean; readonly error?: VolumeSnapshotError };
}

interface FamilyNames<S extends Snapshot, C extends KubernetesObject> {
  /** Failpoints are called controllers.NAME.STEP. */
  readonly name: "snapshots" | "group-snapshots";
  /** In Events. */
  readonly thing: "Snapshot" | "GroupSnapshot";
  readonly snapshots: ResourceRef<S>;
  readonly contents: ResourceRef<C>;
  /** Holds a content until its storage has gone. */
  readonly contentFinalizer: string;
  readonly annotations: SnapshotAnnotations;
}

/** What is written of snapshots and of snapshots of groups alike, and of their contents. */
export class SnapshotFamily<S extends Snapshot, C extends KubernetesObject> {
  readonly #context: ControllerContext;
  readonly #recorder: EventRecorder;
  readonly #names: FamilyNames<S, C>;

  constructor(context: ControllerContext, names: FamilyNames<S, C>) {
    this.#context = context;
    this.#recorder = context.recorder("snapshot-controller");
    this.#names = names;
  }

  get snapshots() {
    return this.#context.client.resource(this.#names.snapshots);
  }

  get contents() {
    return this.#context.client.resource(this.#names.contents);
  }

  /** Changes what is asked for. Throws "conflict" when somebody else has changed the snapshot meanwhile. */
  async patchSpec({ metadata }: Stored<S>, spec: object): Promise<void> {
    const { name, namespace = "default", uid, resourceVersion } = metadata;
    await this.snapshots.patch(name, { metadata: { uid, resourceVersion }, spec }, { namespace });
  }

  /** Holds the claims and makes the content, of which the content controller has the driver take the snapshot. */
  async makeContent(snapshot: Stored<S>, content: C, claims: readonly Stored<PersistentVolumeClaim>[]): Promise<void> {
    for (const claim of claims)
      await addFinalizer(this.#context.client.resource(persistentVolumeClaims), claim, snapshotSourceFinalizer);
    failpoint(`controllers.${this.#names.name}.claims-held`);
    await ignoreExisting(this.contents.create(content));
    failpoint(`controllers.${this.#names.name}.content-made`);
    const { thing } = this.#names;
    const what = thing === "Snapshot" ? "snapshot" : "group snapshot";
    const message = `Waiting for a ${what} ${keyOf(snapshot)} to be created by the CSI driver.`;
    this.#recorder.record({ about: snapshot, type: "Normal", reason: `Creating${thing}`, message });
  }

  /** Gives a content that was made by hand to the snapshot which names it. */
  async bindContent({ metadata }: Stored<C>, spec: object): Promise<void> {
    await this.contents.patch(metadata.name, { metadata: this.#heldMetadata(metadata), spec });
    failpoint(`controllers.${this.#names.name}.content-bound`);
  }

  /** Lets a content go, which from now on does not before its storage; `deletes`: it is to go. */
  async letGo({ metadata }: Stored<C>, { deletes }: { readonly deletes: boolean }): Promise<void> {
    const { name, uid, annotations, deletionTimestamp } = metadata;
    const { beingDeleted } = this.#names.annotations;
    if (annotations?.[beingDeleted] === undefined) {
      const patch = { metadata: { ...this.#heldMetadata(metadata), annotations: { [beingDeleted]: "yes" } } };
      await this.contents.patch(name, patch);
      failpoint(`controllers.${this.#names.name}.content-marked`);
    }
    if (!deletes || deletionTimestamp !== undefined) return;
    await ignoreGone(this.contents.delete(name, { uid }));
    failpoint(`controllers.${this.#names.name}.content-deleted`);
  }

  #heldMetadata({ uid, resourceVersion, deletionTimestamp, finalizers = [] }: Stored<C>["metadata"]) {
    // What is being deleted takes no new finalizers.
    if (deletionTimestamp !== undefined) return { uid };
    return { uid, resourceVersion, finalizers: [...new Set([...finalizers, this.#names.contentFinalizer])] };
  }

  /** Writes a status, and tells of what is new in it. */
  async report(snapshot: Stored<S>, status: NonNullable<Snapshot["status"]>): Promise<void> {
    const { name, namespace = "default", uid, resourceVersion } = snapshot.metadata;
    const patch = { metadata: { uid, resourceVersion }, status: { error: null, ...status } };
    await this.snapshots.patch(name, patch, { namespace, subresource: "status" });
    failpoint(`controllers.${this.#names.name}.reported`);
    for (const event of statusEvents(this.#names.thing, keyOf(snapshot), [snapshot.status, status]))
      this.#recorder.record({ about: snapshot, ...event });
  }

  /** Says once why it cannot be; `unready`: it is not what it was taken for. */
  async fail(
    snapshot: Stored<S>,
    { reason, message, unready }: { readonly reason: string; readonly message: string; readonly unready: boolean },
  ): Promise<void> {
    if (snapshot.status?.error?.message === message) return;
    const { name, namespace = "default", uid } = snapshot.metadata;
    const status = { error: { time: timeNow(), message }, ...(unready ? { readyToUse: false } : {}) };
    await this.snapshots.patch(name, { metadata: { uid }, status }, { namespace, subresource: "status" });
    this.#recorder.record({ about: snapshot, type: "Warning", reason, message });
  }

  /** Tells what its deletion waits for. */
  tellPending(snapshot: Stored<S>, message: string): void {
    this.#recorder.record({ about: snapshot, type: "Warning", reason: "SnapshotDeletePending", message });
  }
}
