import { isDeepStrictEqual } from "node:util";
import type { Node, PersistentVolume, Pod, Stored, VolumeAttachment } from "@tripod/api/kubernetes";
import { failpoint, messageOf } from "@tripod/base";
import { type EventRecorder, nodes, volumeAttachments, WorkQueue } from "@tripod/kube";
import { Attempts } from "../attempts.ts";
import type { ControllerContext } from "../context.ts";
import { ignoreExisting } from "../ignore-existing.ts";
import { ignoreGone } from "../ignore-gone.ts";
import { isOutOfService, isReady } from "../node-lifecycle/node-state.ts";
import { knownCsiVolume } from "../volumes/known-csi-volume.ts";
import {
  attachedVolume,
  type AttachmentFacts,
  decideAttachment,
  isMounted,
  multiAttachMessage,
  nodesNameOf,
  type Wanted,
  wantedAttachments,
} from "./plan-attachments.ts";

const everything = "attachments";

export interface AttachmentOptions {
  /** How long a node that is not ready is given to unmount what nobody needs any more; 360,000 unless told. */
  readonly forceDetachAfterMs?: number;
}

interface Leaving {
  readonly attachment: Stored<VolumeAttachment>;
  readonly volume: PersistentVolume | undefined;
  readonly isForced: boolean;
}

interface Told {
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  message(pod: Pod): string;
}

/** What of a node decides whether its volumes may be detached. */
const detachingFacts = (node: Node): unknown => [node.status?.volumesInUse, isReady(node), isOutOfService(node)];

/** Makes a VolumeAttachment for each volume that a Pod needs attached, and removes it when no Pod needs it; tells Nodes of theirs. */
export class AttachmentController implements AsyncDisposable {
  readonly #context: ControllerContext;
  readonly #recorder: EventRecorder;
  readonly #queue: WorkQueue;
  readonly #stack = new DisposableStack();
  /** Attachments that have been reported as attached or in trouble, with what was told. */
  readonly #told = new Map<string, string>();
  /** Since when, by our clock, nobody has needed an attachment. */
  readonly #unwantedSince = new Map<string, number>();
  readonly #forceDetachAfterMs: number;

  constructor(context: ControllerContext, options: AttachmentOptions = {}) {
    this.#forceDetachAfterMs = options.forceDetachAfterMs ?? 360_000;
    this.#context = context;
    this.#recorder = context.recorder("attachdetach-controller");
    // One key: what is wanted follows from all Pods together, and most clusters of one node want nothing.
    this.#queue = new WorkQueue({ name: "attachments", log: context.log, concurrency: 1, longestDelayMs: 10_000 }, () =>
      this.#sync(),
    );
    const { world } = context;
    const look = (): void => this.#queue.add(everything);
    for (const informer of [world.pods, world.claims, world.volumes, world.drivers, world.attachments])
      this.#stack.defer(informer.on({ added: look, updated: look, deleted: look }));
    this.#stack.defer(
      world.nodes.on({
        added: look,
        deleted: look,
        updated: (node, previous) => {
          if (!isDeepStrictEqual(detachingFacts(node), detachingFacts(previous))) look();
        },
      }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stack.dispose();
    await this.#queue.close();
  }

  async #sync(): Promise<void> {
    const { world } = this.#context;
    const facts: AttachmentFacts = {
      pods: world.pods.list(),
      claim: (key) => world.claims.get(key),
      volume: (name) => world.volumes.get(name),
      driver: (name) => world.drivers.get(name),
      node: (name) => world.nodes.get(name),
      serving: (driver) => this.#context.serving.of(driver),
    };
    const wanted = wantedAttachments(facts);
    const existing = world.attachments.list();
    const byVolume = Map.groupBy(existing, (each) => nodesNameOf(this.#volumeOf(each)));
    const attempts = new Attempts();
    const leaving: Leaving[] = [];
    for (const name of new Set([...wanted.keys(), ...existing.map((each) => each.metadata.name)])) {
      const want = wanted.get(name);
      const have = world.attachments.get(name);
      const volume = have === undefined ? want?.volume : this.#volumeOf(have);
      const others = (byVolume.get(nodesNameOf(volume)) ?? []).filter(({ metadata }) => metadata.name !== name);
      const node = world.nodes.get(want?.node ?? have?.spec.nodeName ?? "");
      const restMs = want === undefined && have !== undefined ? this.#restMs(name) : Number.POSITIVE_INFINITY;
      const decision = decideAttachment(want, have, { node, volume, others, isOverdue: restMs <= 0 });
      if (decision === "create" && want !== undefined) await attempts.make(() => this.#create(want));
      if (decision === "wait-for-unmount" && node !== undefined && !isReady(node))
        this.#queue.addAfter(everything, restMs);
      if ((decision === "delete" || decision === "force-delete") && have !== undefined)
        leaving.push({ attachment: have, volume, isForced: decision === "force-delete" });
      if (want !== undefined && decision === "wait-for-other-node") this.#tellHolders(want, others, wanted);
      else if (want !== undefined) this.#tell(want, have);
    }
    for (const name of this.#told.keys()) if (!wanted.has(name)) this.#told.delete(name);
    for (const name of this.#unwantedSince.keys())
      if (wanted.has(name) || world.attachments.get(name) === undefined) this.#unwantedSince.delete(name);
    const gone = new Set(leaving.map(({ attachment }) => attachment.metadata.name));
    // First nobody may begin to mount it, then it is detached.
    const staying = existing.filter(({ metadata }) => !gone.has(metadata.name));
    const untold = await this.#reportToNodes(staying, attempts);
    for (const each of leaving)
      if (!untold.has(each.attachment.spec.nodeName)) await attempts.make(() => this.#delete(each));
    attempts.finish("look after attachments");
  }

  #volumeOf(attachment: VolumeAttachment): PersistentVolume | undefined {
    return attachedVolume(attachment, (name) => this.#context.world.volumes.get(name));
  }

  /** Milliseconds for which a node that is not ready is still given time to unmount what nobody needs any more. */
  #restMs(name: string): number {
    const sinceMs = this.#unwantedSince.get(name) ?? performance.now();
    this.#unwantedSince.set(name, sinceMs);
    return sinceMs + this.#forceDetachAfterMs - performance.now();
  }

  async #delete({ attachment, volume, isForced }: Leaving): Promise<void> {
    const { client, log } = this.#context;
    const { name, uid } = attachment.metadata;
    const { nodeName } = attachment.spec;
    if (isForced) log.warn({ attachment: name, node: nodeName }, "detaching a volume that its node has not unmounted");
    // The cache may lag behind a kubelet that has just begun to use it.
    else if (isMounted(await client.resource(nodes).find(nodeName), volume)) return;
    await ignoreGone(client.resource(volumeAttachments).delete(name, { uid }));
    failpoint("controllers.attachments.deleted");
  }

  async #create(want: Wanted): Promise<void> {
    const { volume, inline, node, name } = want;
    const source = inline ? { inlineVolumeSpec: volume.spec } : { persistentVolumeName: volume.metadata.name ?? "" };
    const attachment: VolumeAttachment = {
      apiVersion: "storage.k8s.io/v1",
      kind: "VolumeAttachment",
      metadata: { name },
      spec: {
        attacher: knownCsiVolume(volume)?.spec.csi.driver ?? "",
        nodeName: node,
        source,
      },
    };
    try {
      await ignoreExisting(this.#context.client.resource(volumeAttachments).create(attachment));
    } catch (error) {
      this.#tellFailure(want, messageOf(error));
      throw error;
    }
    failpoint("controllers.attachments.made");
  }

  #tell(want: Wanted, attachment: Stored<VolumeAttachment> | undefined): void {
    const volume = want.volume.metadata.name ?? "";
    const problem = attachment?.status?.attachError;
    if (attachment?.status?.attached === true) {
      const message = `AttachVolume.Attach succeeded for volume "${volume}"`;
      this.#record(want, { type: "Normal", reason: "SuccessfulAttachVolume", message: () => message });
    } else if (problem !== undefined) this.#tellFailure(want, problem.message ?? "");
  }

  #tellFailure(want: Wanted, why: string): void {
    const message = `AttachVolume.Attach failed for volume "${want.volume.metadata.name}": ${why}`;
    this.#record(want, { type: "Warning", reason: "FailedAttachVolume", message: () => message });
  }

  #tellHolders(want: Wanted, others: readonly VolumeAttachment[], wanted: ReadonlyMap<string, Wanted>): void {
    const holders = others.flatMap(({ metadata }) => wanted.get(metadata.name ?? "")?.pods ?? []);
    const message = (pod: Pod): string => multiAttachMessage(want.volume.metadata.name ?? "", pod, holders);
    this.#record(want, { type: "Warning", reason: "FailedAttachVolume", message });
  }

  /** Tells every Pod once. */
  #record({ name, pods }: Wanted, told: Told): void {
    const messages = pods.map((pod) => told.message(pod));
    const text = messages.join("\0");
    if (this.#told.get(name) === text) return;
    this.#told.set(name, text);
    for (const [index, pod] of pods.entries()) {
      const { type, reason } = told;
      this.#recorder.record({ about: pod, type, reason, message: messages[index] ?? "" });
    }
  }

  /** A kubelet mounts what its Node's status says is attached. Returns the names of the nodes that could not be told. */
  async #reportToNodes(
    attachments: readonly Stored<VolumeAttachment>[],
    attempts: Attempts,
  ): Promise<ReadonlySet<string>> {
    const { world, client } = this.#context;
    const byNode = new Map<string, { name: string; devicePath: string }[]>();
    for (const attachment of attachments) {
      const name = nodesNameOf(this.#volumeOf(attachment));
      const isThere = attachment.status?.attached === true && attachment.metadata.deletionTimestamp === undefined;
      if (!isThere || name === undefined) continue;
      const list = byNode.get(attachment.spec.nodeName) ?? [];
      list.push({ name, devicePath: "" });
      byNode.set(attachment.spec.nodeName, list);
    }
    const untold = new Set<string>();
    for (const node of world.nodes.list()) {
      const attached = (byNode.get(node.metadata.name) ?? []).sort((a, b) => (a.name < b.name ? -1 : 1));
      if (isDeepStrictEqual(node.status?.volumesAttached ?? [], attached)) continue;
      const patch = {
        metadata: { uid: node.metadata.uid },
        status: { volumesAttached: attached.length > 0 ? attached : null },
      };
      const isTold = await attempts.make(async () => {
        await client.resource(nodes).patch(node.metadata.name, patch, { subresource: "status" });
        failpoint("controllers.attachments.node-told");
      });
      if (!isTold) untold.add(node.metadata.name);
    }
    return untold;
  }
}
