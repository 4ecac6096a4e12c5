import {
  keyOf,
  type PersistentVolumeClaim,
  type Stored,
  type VolumeGroupSnapshot,
  type VolumeGroupSnapshotContent,
  type VolumeSnapshot,
  type VolumeSnapshotContent,
} from "@tripod/api/kubernetes";
import { failpoint } from "@tripod/base";
import {
  persistentVolumeClaims,
  volumeGroupSnapshotContents,
  volumeGroupSnapshots,
  volumeSnapshots,
  WorkQueue,
} from "@tripod/kube";
import { withSpan } from "@tripod/trace";
import type { ControllerContext } from "../context.ts";
import { changeFinalizers } from "../finalizers.ts";
import { ignoreGone } from "../ignore-gone.ts";
import { decideGroupDeletion } from "./decide-group-deletion.ts";
import { decideGroup, type GroupDecision } from "./decide-group.ts";
import { makeMember } from "./group-members.ts";
import { SnapshotFamily } from "./snapshot-family.ts";
import { finalizers, groupAnnotations, groupContentNameOf } from "./snapshot-names.ts";
import { groupOf, takes } from "./snapshot-state.ts";

/** Makes the content of each snapshot of a group, shows what was taken as snapshots of their own, and tells of it in the status. */
export class GroupSnapshotController implements AsyncDisposable {
  readonly #context: ControllerContext;
  readonly #family: SnapshotFamily<VolumeGroupSnapshot, VolumeGroupSnapshotContent>;
  readonly #queue: WorkQueue;
  readonly #stack = new DisposableStack();

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#family = new SnapshotFamily(context, {
      name: "group-snapshots",
      thing: "GroupSnapshot",
      snapshots: volumeGroupSnapshots,
      contents: volumeGroupSnapshotContents,
      contentFinalizer: finalizers.groupContent,
      annotations: groupAnnotations,
    });
    const { world, log } = context;
    this.#queue = new WorkQueue({ name: "group snapshots", log, longestDelayMs: 15_000 }, (key) => this.#sync(key));
    const changed = (group: VolumeGroupSnapshot): void => this.#queue.add(keyOf(group));
    const wake = (concerns: (group: VolumeGroupSnapshot) => boolean): void => {
      for (const group of world.groupSnapshots.list()) if (concerns(group)) changed(group);
    };
    const unready = (group: VolumeGroupSnapshot): boolean => group.status?.readyToUse !== true;
    this.#stack.defer(world.groupSnapshots.on({ added: changed, updated: changed }));
    const contentChanged = ({ spec }: VolumeGroupSnapshotContent): void =>
      this.#queue.add(`${spec.volumeGroupSnapshotRef.namespace}/${spec.volumeGroupSnapshotRef.name}`);
    this.#stack.defer(
      world.groupSnapshotContents.on({ added: contentChanged, updated: contentChanged, deleted: contentChanged }),
    );
    this.#stack.defer(world.groupSnapshotClasses.on({ added: () => wake(unready), updated: () => wake(unready) }));
    const claimChanged = (claim: Stored<PersistentVolumeClaim>): void =>
      wake(
        (group) =>
          group.metadata.namespace === claim.metadata.namespace &&
          (unready(group) || group.metadata.deletionTimestamp !== undefined),
      );
    this.#stack.defer(world.claims.on({ added: claimChanged, updated: claimChanged, deleted: claimChanged }));
    const snapshotChanged = (snapshot: VolumeSnapshot): void => {
      const owner = groupOf(snapshot);
      if (owner !== undefined) this.#queue.add(`${snapshot.metadata.namespace}/${owner.name}`);
    };
    // Members and their contents come into the caches a moment after they were made.
    const memberContentChanged = ({ spec }: VolumeSnapshotContent): void => {
      const { namespace, name } = spec.volumeSnapshotRef;
      const snapshot = world.snapshots.get(`${namespace}/${name}`);
      if (snapshot !== undefined) snapshotChanged(snapshot);
    };
    this.#stack.defer(world.snapshotContents.on({ added: memberContentChanged, updated: memberContentChanged }));
    this.#stack.defer(world.snapshots.on({ added: snapshotChanged, updated: snapshotChanged }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stack.dispose();
    await this.#queue.close();
  }

  async #sync(key: string): Promise<void> {
    const { world, serving } = this.#context;
    const group = world.groupSnapshots.get(key);
    if (group === undefined) return;
    const { namespace = "default", name, deletionTimestamp } = group.metadata;
    const attributes = { "snapshot.namespace": namespace, "snapshot.group": name };
    if (deletionTimestamp !== undefined) {
      await withSpan("group-snapshots.delete", attributes, () => this.#delete(group));
      return;
    }
    const isTaken = (claim: PersistentVolumeClaim): boolean =>
      claim.metadata.namespace === namespace && takes(group, claim);
    const decision = decideGroup(group, {
      content: (each) => world.groupSnapshotContents.get(each),
      classes: world.groupSnapshotClasses.list().map((each) => ({ ...each, driver: serving.of(each.driver) })),
      claims: () => world.claims.list().filter(isTaken),
      volume: (each) => world.volumes.get(each),
      snapshot: (each) => world.snapshots.get(`${namespace}/${each}`),
      snapshotContent: (each) => world.snapshotContents.get(each),
    });
    if (decision.kind !== "none")
      await withSpan(`group-snapshots.${decision.kind}`, attributes, () => this.#apply(group, decision));
  }

  async #apply(group: Stored<VolumeGroupSnapshot>, decision: GroupDecision): Promise<void> {
    const { client, world } = this.#context;
    switch (decision.kind) {
      case "none":
        return;
      case "hold":
        await changeFinalizers(this.#family.snapshots, group, { add: [finalizers.groupBound] });
        failpoint("controllers.group-snapshots.held");
        return;
      case "set-class":
        return this.#family.patchSpec(group, { volumeGroupSnapshotClassName: decision.class });
      case "create-content":
        return this.#family.makeContent(group, decision.content, decision.claims);
      case "bind-content": {
        const { content } = decision;
        const volumeGroupSnapshotClassName =
          content.spec.volumeGroupSnapshotClassName ?? group.spec.volumeGroupSnapshotClassName;
        const volumeGroupSnapshotRef = { uid: group.metadata.uid };
        return this.#family.bindContent(content, { volumeGroupSnapshotRef, volumeGroupSnapshotClassName });
      }
      case "make-members":
        for (const info of decision.members) {
          const { driver } = decision.content.spec;
          const volume = world.volumes
            .list()
            .find(({ spec: { csi } }) => csi?.driver === driver && csi.volumeHandle === info.volumeHandle);
          await makeMember(client, { group, content: decision.content, info, volume });
        }
        return;
      case "report":
        return this.#family.report(group, decision.status);
      case "fail":
        return this.#family.fail(group, decision);
    }
  }

  async #delete(group: Stored<VolumeGroupSnapshot>): Promise<void> {
    const { client } = this.#context;
    const { namespace = "default" } = group.metadata;
    const snapshots = client.resource(volumeSnapshots);
    const { status, spec } = group;
    const contentName =
      status?.boundVolumeGroupSnapshotContentName ??
      spec.source.volumeGroupSnapshotContentName ??
      groupContentNameOf(group);
    // Storage hangs on this, and caches lag behind: the API server is asked.
    const decision = decideGroupDeletion(group, {
      content: await this.#family.contents.find(contentName),
      snapshots: (await snapshots.list({ namespace })).items,
      claims: (await client.resource(persistentVolumeClaims).list({ namespace })).items,
    });
    if (decision.kind === "wait") {
      this.#family.tellPending(group, decision.message);
      return;
    }
    const { content, deletes, members, releases } = decision;
    if (content !== undefined) await this.#family.letGo(content, { deletes });
    for (const { metadata } of members)
      await ignoreGone(snapshots.delete(metadata.name, { namespace, uid: metadata.uid }));
    failpoint("controllers.group-snapshots.members-deleted");
    if (releases) await changeFinalizers(this.#family.snapshots, group, { remove: [finalizers.groupBound] });
  }
}
