import {
  keyOf,
  type PersistentVolumeClaim,
  type Stored,
  type VolumeSnapshot,
  type VolumeSnapshotContent,
} from "@tripod/api/kubernetes";
import { failpoint } from "@tripod/base";
import { persistentVolumeClaims, volumeSnapshotContents, volumeSnapshots, WorkQueue } from "@tripod/kube";
import { withSpan } from "@tripod/trace";
import type { ControllerContext } from "../context.ts";
import { changeFinalizers } from "../finalizers.ts";
import { decideSnapshotDeletion } from "./decide-snapshot-deletion.ts";
import { decideSnapshot, type SnapshotDecision } from "./decide-snapshot.ts";
import { SnapshotFamily } from "./snapshot-family.ts";
import { finalizers, snapshotAnnotations } from "./snapshot-names.ts";
import { contentNameOf, groupOf, ownerOf } from "./snapshot-state.ts";

const isReady = ({ status }: VolumeSnapshot): boolean => status?.readyToUse === true;

/** Makes the content of each snapshot, and tells of it in the snapshot's status. What the driver does is the content controller's part. */
export class SnapshotController implements AsyncDisposable {
  readonly #context: ControllerContext;
  readonly #family: SnapshotFamily<VolumeSnapshot, VolumeSnapshotContent>;
  readonly #queue: WorkQueue;
  readonly #stack = new DisposableStack();

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#family = new SnapshotFamily(context, {
      name: "snapshots",
      thing: "Snapshot",
      snapshots: volumeSnapshots,
      contents: volumeSnapshotContents,
      contentFinalizer: finalizers.content,
      annotations: snapshotAnnotations,
    });
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
    const { world } = this.#context;
    const { snapshots } = this.#family;
    const { name, namespace = "default", uid, resourceVersion } = snapshot.metadata;
    switch (decision.kind) {
      case "none":
        return;
      case "hold":
        await changeFinalizers(snapshots, snapshot, { add: decision.finalizers });
        failpoint("controllers.snapshots.held");
        return;
      case "set-class":
        return this.#family.patchSpec(snapshot, { volumeSnapshotClassName: decision.class });
      case "create-content":
        return this.#family.makeContent(snapshot, decision.content, [decision.claim]);
      case "bind-content": {
        const { content } = decision;
        const volumeSnapshotClassName = content.spec.volumeSnapshotClassName ?? snapshot.spec.volumeSnapshotClassName;
        return this.#family.bindContent(content, { volumeSnapshotRef: { uid }, volumeSnapshotClassName });
      }
      case "report":
        return this.#family.report(snapshot, decision.status);
      case "join-group": {
        const group = world.groupSnapshots.get(`${namespace}/${decision.group}`);
        if (group === undefined) return;
        const ownerReferences = [...(snapshot.metadata.ownerReferences ?? []), ownerOf(group)];
        await snapshots.patch(name, { metadata: { uid, resourceVersion, ownerReferences } }, { namespace });
        return;
      }
      case "fail":
        return this.#family.fail(snapshot, decision);
    }
  }

  /** Lets it go; true when something still needs it. */
  async #delete(snapshot: Stored<VolumeSnapshot>): Promise<boolean> {
    const { client, world } = this.#context;
    const { namespace = "default" } = snapshot.metadata;
    const { status, spec } = snapshot;
    const contentName =
      status?.boundVolumeSnapshotContentName ?? spec.source.volumeSnapshotContentName ?? contentNameOf(snapshot);
    const owner = groupOf(snapshot);
    const group = world.groupSnapshots.get(`${namespace}/${owner?.name ?? status?.volumeGroupSnapshotName}`);
    const isOwned = owner === undefined || group?.metadata.uid === owner.uid;
    // Storage hangs on this, and caches lag behind: the API server is asked.
    const decision = decideSnapshotDeletion(snapshot, {
      content: await this.#family.contents.find(contentName),
      claims: (await client.resource(persistentVolumeClaims).list({ namespace })).items,
      group: isOwned ? group?.metadata.name : undefined,
    });
    if (decision.kind === "wait") {
      this.#family.tellPending(snapshot, decision.message);
      return true;
    }
    const { content, deletes, release } = decision;
    if (content !== undefined) await this.#family.letGo(content, { deletes });
    await changeFinalizers(this.#family.snapshots, snapshot, { remove: release });
    failpoint("controllers.snapshots.released");
    return false;
  }
}
