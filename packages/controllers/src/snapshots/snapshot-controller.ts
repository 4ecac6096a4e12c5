import {
  keyOf,
  type PersistentVolumeClaim,
  type Stored,
  timeNow,
  type VolumeSnapshot,
  type VolumeSnapshotStatus,
} from "@tripod/api/kubernetes";
import { codeOf, failpoint } from "@tripod/base";
import {
  type EventRecorder,
  persistentVolumeClaims,
  volumeSnapshotContents,
  volumeSnapshots,
  WorkQueue,
} from "@tripod/kube";
import { withSpan } from "@tripod/trace";
import type { ControllerContext } from "../context.ts";
import { addFinalizer, changeFinalizers } from "../finalizers.ts";
import { ignoreGone } from "../ignore-gone.ts";
import { snapshotSourceFinalizer } from "../protection/decide-source-protection.ts";
import { heldMetadata } from "./held-metadata.ts";
import { decideSnapshotDeletion } from "./decide-snapshot-deletion.ts";
import { decideSnapshot, type SnapshotDecision } from "./decide-snapshot.ts";
import { finalizers, snapshotAnnotations } from "./snapshot-names.ts";
import { contentNameOf, groupOf } from "./snapshot-state.ts";
import { statusEvents } from "./snapshot-status.ts";

const isReady = ({ status }: VolumeSnapshot): boolean => status?.readyToUse === true;

/** Makes the content of each snapshot, and tells of it in the snapshot's status. What the driver does is the content controller's part. */
export class SnapshotController implements AsyncDisposable {
  readonly #context: ControllerContext;
  readonly #recorder: EventRecorder;
  readonly #queue: WorkQueue;
  readonly #stack = new DisposableStack();

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#recorder = context.recorder("snapshot-controller");
    const { world, log } = context;
    this.#queue = new WorkQueue({ name: "snapshots", log, concurrency: 10, longestDelayMs: 15_000 }, (key) =>
      this.#sync(key),
    );
    const changed = (snapshot: VolumeSnapshot): void => this.#queue.add(keyOf(snapshot));
    const wake = (concerns: (snapshot: Stored<VolumeSnapshot>) => boolean): void => {
      for (const snapshot of world.snapshots.list()) if (concerns(snapshot)) changed(snapshot);
    };
    const follow = <T>(
      informer: {
        on(handler: { added(object: T): void; updated(object: T): void; deleted(object: T): void }): () => void;
      },
      look: (object: T) => void,
    ): void => {
      this.#stack.defer(informer.on({ added: look, updated: look, deleted: look }));
    };
    this.#stack.defer(world.snapshots.on({ added: changed, updated: changed }));
    follow(world.snapshotContents, ({ spec }) =>
      this.#queue.add(`${spec.volumeSnapshotRef.namespace}/${spec.volumeSnapshotRef.name}`),
    );
    follow(world.snapshotClasses, () => wake((snapshot) => !isReady(snapshot)));
    follow(world.claims, (claim) => this.#claimChanged(claim));
    follow(world.volumes, ({ spec: { claimRef } }) => {
      for (const snapshot of world.snapshots.byIndex("source", `${claimRef?.namespace}/${claimRef?.name}`))
        if (!isReady(snapshot)) changed(snapshot);
    });
    follow(world.groupSnapshotContents, (content) => {
      const { namespace } = content.spec.volumeGroupSnapshotRef;
      wake(({ metadata, status }) => metadata.namespace === namespace && status?.volumeGroupSnapshotName === undefined);
    });
    follow(world.groupSnapshots, ({ metadata: { namespace, name } }) =>
      wake(
        (snapshot) =>
          snapshot.metadata.namespace === namespace &&
          (snapshot.status?.volumeGroupSnapshotName === name || groupOf(snapshot)?.name === name),
      ),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stack.dispose();
    await this.#queue.close();
  }

  /** A claim may be what a snapshot waits for, to be taken or to be deleted. */
  #claimChanged(claim: Stored<PersistentVolumeClaim>): void {
    const { world } = this.#context;
    for (const snapshot of world.snapshots.byIndex("source", keyOf(claim)))
      if (!isReady(snapshot)) this.#queue.add(keyOf(snapshot));
    const { kind, name } = claim.spec.dataSource ?? {};
    if (kind === "VolumeSnapshot") this.#queue.add(`${claim.metadata.namespace}/${name}`);
  }

  async #sync(key: string): Promise<void> {
    const { world, serving } = this.#context;
    const snapshot = world.snapshots.get(key);
    if (snapshot === undefined) return;
    const deleting = snapshot.metadata.deletionTimestamp !== undefined;
    const attributes = { "snapshot.namespace": snapshot.metadata.namespace, "snapshot.name": snapshot.metadata.name };
    if (deleting && !(await withSpan("snapshots.delete", attributes, () => this.#delete(snapshot)))) return;
    const claimName = snapshot.spec.source.persistentVolumeClaimName;
    const decision = decideSnapshot(snapshot, {
      content: (name) => world.snapshotContents.get(name),
      classes: world.snapshotClasses.list().map((each) => ({ ...each, driver: serving.of(each.driver) })),
      claim: world.claims.get(`${snapshot.metadata.namespace}/${claimName}`),
      volume: (name) => world.volumes.get(name),
      groupContents: world.groupSnapshotContents.list(),
    });
    // Who restores from one that is to go still waits for it to be ready.
    if (decision.kind === "none" || (deleting && decision.kind !== "report")) return;
    await withSpan(`snapshots.${decision.kind}`, attributes, () => this.#apply(snapshot, decision));
  }

  async #apply(snapshot: Stored<VolumeSnapshot>, decision: SnapshotDecision): Promise<void> {
    const { client } = this.#context;
    const snapshots = client.resource(volumeSnapshots);
    const contents = client.resource(volumeSnapshotContents);
    const { name, namespace = "default", uid, resourceVersion } = snapshot.metadata;
    switch (decision.kind) {
      case "none":
        return;
      case "hold":
        await changeFinalizers(snapshots, snapshot, { add: decision.finalizers });
        failpoint("controllers.snapshots.held");
        return;
      case "set-class": {
        const patch = { metadata: { uid, resourceVersion }, spec: { volumeSnapshotClassName: decision.class } };
        await snapshots.patch(name, patch, { namespace });
        return;
      }
      case "create-content":
        await addFinalizer(client.resource(persistentVolumeClaims), decision.claim, snapshotSourceFinalizer);
        failpoint("controllers.snapshots.claim-held");
        try {
          await contents.create(decision.content);
        } catch (error) {
          // A try before this one got as far; the cache will tell.
          if (codeOf(error) !== "already-exists") throw error;
        }
        failpoint("controllers.snapshots.content-made");
        this.#recorder.record({
          about: snapshot,
          type: "Normal",
          reason: "CreatingSnapshot",
          message: `Waiting for a snapshot ${keyOf(snapshot)} to be created by the CSI driver.`,
        });
        return;
      case "bind-content": {
        const { metadata, spec } = decision.content;
        const given = snapshot.spec.volumeSnapshotClassName;
        const named =
          given === undefined || spec.volumeSnapshotClassName !== undefined ? {} : { volumeSnapshotClassName: given };
        await contents.patch(metadata.name, {
          metadata: heldMetadata(metadata, finalizers.content),
          spec: { volumeSnapshotRef: { uid }, ...named },
        });
        failpoint("controllers.snapshots.content-bound");
        return;
      }
      case "report":
        await this.#report(snapshot, decision.status);
        return;
      case "join-group": {
        const group = this.#context.world.groupSnapshots.get(`${namespace}/${decision.group}`);
        if (group === undefined) return;
        const owner = {
          apiVersion: "groupsnapshot.storage.k8s.io/v1",
          kind: "VolumeGroupSnapshot",
          name: decision.group,
          uid: group.metadata.uid,
        };
        const ownerReferences = [...(snapshot.metadata.ownerReferences ?? []), owner];
        await snapshots.patch(name, { metadata: { uid, resourceVersion, ownerReferences } }, { namespace });
        return;
      }
      case "fail": {
        const { reason, message, unready } = decision;
        if (snapshot.status?.error?.message === message) return;
        const status = { error: { time: timeNow(), message }, ...(unready ? { readyToUse: false } : {}) };
        await snapshots.patch(name, { metadata: { uid }, status }, { namespace, subresource: "status" });
        this.#recorder.record({ about: snapshot, type: "Warning", reason, message });
      }
    }
  }

  async #report(snapshot: Stored<VolumeSnapshot>, status: VolumeSnapshotStatus): Promise<void> {
    const { name, namespace = "default", uid, resourceVersion } = snapshot.metadata;
    const patch = { metadata: { uid, resourceVersion }, status: { error: null, ...status } };
    await this.#context.client.resource(volumeSnapshots).patch(name, patch, { namespace, subresource: "status" });
    failpoint("controllers.snapshots.reported");
    for (const event of statusEvents("Snapshot", keyOf(snapshot), [snapshot.status, status]))
      this.#recorder.record({ about: snapshot, ...event });
  }

  /** Lets it go; true when something still needs it. */
  async #delete(snapshot: Stored<VolumeSnapshot>): Promise<boolean> {
    const { client, world } = this.#context;
    const { namespace = "default" } = snapshot.metadata;
    const contents = client.resource(volumeSnapshotContents);
    const { status, spec } = snapshot;
    const contentName =
      status?.boundVolumeSnapshotContentName ?? spec.source.volumeSnapshotContentName ?? contentNameOf(snapshot);
    const owner = groupOf(snapshot);
    const group = world.groupSnapshots.get(`${namespace}/${owner?.name ?? status?.volumeGroupSnapshotName}`);
    const isOwned = owner === undefined || group?.metadata.uid === owner.uid;
    // Storage hangs on this, and caches lag behind: the API server is asked.
    const decision = decideSnapshotDeletion(snapshot, {
      content: await contents.find(contentName),
      claims: (await client.resource(persistentVolumeClaims).list({ namespace })).items,
      group: isOwned ? group?.metadata.name : undefined,
    });
    if (decision.kind === "wait") {
      const { message } = decision;
      this.#recorder.record({ about: snapshot, type: "Warning", reason: "SnapshotDeletePending", message });
      return true;
    }
    const { content, deletes, release } = decision;
    if (content !== undefined && content.metadata.annotations?.[snapshotAnnotations.beingDeleted] === undefined) {
      const annotations = { [snapshotAnnotations.beingDeleted]: "yes" };
      await contents.patch(content.metadata.name, {
        metadata: { ...heldMetadata(content.metadata, finalizers.content), annotations },
      });
      failpoint("controllers.snapshots.content-marked");
    }
    if (content !== undefined && deletes && content.metadata.deletionTimestamp === undefined) {
      await ignoreGone(contents.delete(content.metadata.name, { uid: content.metadata.uid }));
      failpoint("controllers.snapshots.content-deleted");
    }
    await changeFinalizers(client.resource(volumeSnapshots), snapshot, { remove: release });
    failpoint("controllers.snapshots.released");
    return false;
  }
}
