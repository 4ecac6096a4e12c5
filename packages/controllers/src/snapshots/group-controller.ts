import {
  keyOf,
  labelRequirements,
  matchesLabels,
  type PersistentVolumeClaim,
  type Stored,
  timeNow,
  type VolumeGroupSnapshot,
  type VolumeGroupSnapshotContent,
  type VolumeGroupSnapshotStatus,
  type VolumeSnapshot,
  type VolumeSnapshotContent,
} from "@tripod/api/kubernetes";
import { codeOf, failpoint } from "@tripod/base";
import {
  type EventRecorder,
  persistentVolumeClaims,
  volumeGroupSnapshotContents,
  volumeGroupSnapshots,
  volumeSnapshots,
  WorkQueue,
} from "@tripod/kube";
import { withSpan } from "@tripod/trace";
import type { ControllerContext } from "../context.ts";
import { addFinalizer, changeFinalizers } from "../finalizers.ts";
import { ignoreGone } from "../ignore-gone.ts";
import { snapshotSourceFinalizer } from "../protection/decide-source-protection.ts";
import { heldMetadata } from "./held-metadata.ts";
import { decideGroupDeletion } from "./decide-group-deletion.ts";
import { decideGroup, type GroupDecision } from "./decide-group.ts";
import { makeMember } from "./group-members.ts";
import { finalizers, groupAnnotations, groupContentNameOf } from "./snapshot-names.ts";
import { groupOf } from "./snapshot-state.ts";
import { statusEvents } from "./snapshot-status.ts";

/** Makes the content of each snapshot of a group, shows what was taken as snapshots of their own, and tells of it in the status. */
export class GroupSnapshotController implements AsyncDisposable {
  readonly #context: ControllerContext;
  readonly #recorder: EventRecorder;
  readonly #queue: WorkQueue;
  readonly #stack = new DisposableStack();

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#recorder = context.recorder("snapshot-controller");
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
    const requirements = labelRequirements(group.spec.source.selector);
    const isTaken = ({ metadata }: PersistentVolumeClaim): boolean =>
      metadata.namespace === namespace && requirements !== undefined && matchesLabels(requirements, metadata.labels);
    const decision = decideGroup(group, {
      content: (each) => world.groupSnapshotContents.get(each),
      classes: world.groupSnapshotClasses.list().map((each) => ({ ...each, driver: serving.of(each.driver) })),
      claims: world.claims.list().filter(isTaken),
      volume: (each) => world.volumes.get(each),
      snapshot: (each) => world.snapshots.get(`${namespace}/${each}`),
      snapshotContent: (each) => world.snapshotContents.get(each),
    });
    if (decision.kind !== "none")
      await withSpan(`group-snapshots.${decision.kind}`, attributes, () => this.#apply(group, decision));
  }

  async #apply(group: Stored<VolumeGroupSnapshot>, decision: GroupDecision): Promise<void> {
    const { client, world } = this.#context;
    const groups = client.resource(volumeGroupSnapshots);
    const contents = client.resource(volumeGroupSnapshotContents);
    const { name, namespace = "default", uid, resourceVersion } = group.metadata;
    switch (decision.kind) {
      case "none":
        return;
      case "hold":
        await changeFinalizers(groups, group, { add: [finalizers.groupBound] });
        failpoint("controllers.group-snapshots.held");
        return;
      case "set-class": {
        const spec = { volumeGroupSnapshotClassName: decision.class };
        await groups.patch(name, { metadata: { uid, resourceVersion }, spec }, { namespace });
        return;
      }
      case "create-content":
        for (const claim of decision.claims)
          await addFinalizer(client.resource(persistentVolumeClaims), claim, snapshotSourceFinalizer);
        failpoint("controllers.group-snapshots.claims-held");
        try {
          await contents.create(decision.content);
        } catch (error) {
          // A try before this one got as far; the cache will tell.
          if (codeOf(error) !== "already-exists") throw error;
        }
        failpoint("controllers.group-snapshots.content-made");
        this.#recorder.record({
          about: group,
          type: "Normal",
          reason: "CreatingGroupSnapshot",
          message: `Waiting for a group snapshot ${keyOf(group)} to be created by the CSI driver.`,
        });
        return;
      case "bind-content": {
        const { metadata, spec } = decision.content;
        const given = group.spec.volumeGroupSnapshotClassName;
        const isNamed = given === undefined || spec.volumeGroupSnapshotClassName !== undefined;
        await contents.patch(metadata.name, {
          metadata: heldMetadata(metadata, finalizers.groupContent),
          spec: { volumeGroupSnapshotRef: { uid }, ...(isNamed ? {} : { volumeGroupSnapshotClassName: given }) },
        });
        return;
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
        await this.#report(group, decision.status);
        return;
      case "fail": {
        const { reason, message, unready } = decision;
        if (group.status?.error?.message === message) return;
        const status = { error: { time: timeNow(), message }, ...(unready ? { readyToUse: false } : {}) };
        await groups.patch(name, { metadata: { uid }, status }, { namespace, subresource: "status" });
        this.#recorder.record({ about: group, type: "Warning", reason, message });
      }
    }
  }

  async #report(group: Stored<VolumeGroupSnapshot>, status: VolumeGroupSnapshotStatus): Promise<void> {
    const { name, namespace = "default", uid, resourceVersion } = group.metadata;
    const patch = { metadata: { uid, resourceVersion }, status: { error: null, ...status } };
    await this.#context.client.resource(volumeGroupSnapshots).patch(name, patch, { namespace, subresource: "status" });
    failpoint("controllers.group-snapshots.reported");
    for (const event of statusEvents("GroupSnapshot", keyOf(group), [group.status, status]))
      this.#recorder.record({ about: group, ...event });
  }

  async #delete(group: Stored<VolumeGroupSnapshot>): Promise<void> {
    const { client } = this.#context;
    const { namespace = "default" } = group.metadata;
    const contents = client.resource(volumeGroupSnapshotContents);
    const snapshots = client.resource(volumeSnapshots);
    const { status, spec } = group;
    const contentName =
      status?.boundVolumeGroupSnapshotContentName ??
      spec.source.volumeGroupSnapshotContentName ??
      groupContentNameOf(group);
    // Storage hangs on this, and caches lag behind: the API server is asked.
    const decision = decideGroupDeletion(group, {
      content: await contents.find(contentName),
      snapshots: (await snapshots.list({ namespace })).items,
      claims: (await client.resource(persistentVolumeClaims).list({ namespace })).items,
    });
    if (decision.kind === "wait") {
      const { message } = decision;
      this.#recorder.record({ about: group, type: "Warning", reason: "SnapshotDeletePending", message });
      return;
    }
    const { content, deletes, members, releases } = decision;
    if (content !== undefined && content.metadata.annotations?.[groupAnnotations.beingDeleted] === undefined) {
      const annotations = { [groupAnnotations.beingDeleted]: "yes" };
      const metadata = { ...heldMetadata(content.metadata, finalizers.groupContent), annotations };
      await contents.patch(content.metadata.name, { metadata });
      failpoint("controllers.group-snapshots.content-marked");
    }
    if (content !== undefined && deletes && content.metadata.deletionTimestamp === undefined) {
      await ignoreGone(contents.delete(content.metadata.name, { uid: content.metadata.uid }));
      failpoint("controllers.group-snapshots.content-deleted");
    }
    for (const { metadata } of members)
      await ignoreGone(snapshots.delete(metadata.name, { namespace, uid: metadata.uid }));
    failpoint("controllers.group-snapshots.members-deleted");
    if (releases)
      await changeFinalizers(client.resource(volumeGroupSnapshots), group, { remove: [finalizers.groupBound] });
  }
}
