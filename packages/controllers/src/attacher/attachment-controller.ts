import { isDeepStrictEqual } from "node:util";
import type { Stored, VolumeAttachment } from "@tripod/api/kubernetes";
import { codeOf } from "@tripod/base";
import { asCsiVolume } from "@tripod/csi/migration";
import { type EventRecorder, nodes, volumeAttachments, WorkQueue } from "@tripod/kube";
import type { ControllerContext } from "../context.ts";
import {
  type AttachmentFacts,
  decideAttachment,
  uniqueVolumeName,
  type Wanted,
  wantedAttachments,
} from "./plan-attachments.ts";

const everything = "attachments";

/** Makes a VolumeAttachment for each volume that a Pod needs attached, and removes it when no Pod needs it; tells Nodes of theirs. */
export class AttachmentController implements AsyncDisposable {
  readonly #context: ControllerContext;
  readonly #recorder: EventRecorder;
  readonly #queue: WorkQueue;
  readonly #stack = new DisposableStack();
  /** Attachments that have been reported as attached or in trouble, with what was told. */
  readonly #told = new Map<string, string>();

  constructor(context: ControllerContext) {
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
          if (!isDeepStrictEqual(node.status?.volumesInUse, previous.status?.volumesInUse)) look();
        },
      }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stack.dispose();
    await this.#queue.close();
  }

  async #sync(): Promise<void> {
    const { world, client } = this.#context;
    const facts: AttachmentFacts = {
      pods: world.pods.list(),
      claim: (key) => world.claims.get(key),
      volume: (name) => world.volumes.get(name),
      driver: (name) => world.drivers.get(name),
      node: (name) => world.nodes.get(name),
    };
    const wanted = wantedAttachments(facts);
    const existing = world.attachments.list();
    const attachments = client.resource(volumeAttachments);
    for (const name of new Set([...wanted.keys(), ...existing.map((each) => each.metadata.name)])) {
      const want = wanted.get(name);
      const have = world.attachments.get(name);
      const volumeName = want?.volume.metadata.name ?? have?.spec.source.persistentVolumeName ?? "";
      const decision = decideAttachment(want, have, {
        node: world.nodes.get(want?.node ?? have?.spec.nodeName ?? ""),
        volume: world.volumes.get(volumeName),
        others: existing.filter(
          (other) => other.spec.source.persistentVolumeName === volumeName && other.metadata.name !== name,
        ),
      });
      if (decision === "create" && want !== undefined) await this.#create(want);
      if (decision === "delete" && have !== undefined) {
        const deleted = attachments.delete(name, { uid: have.metadata.uid });
        await deleted.catch((error: unknown) => {
          if (codeOf(error) !== "not-found") throw error;
        });
      }
      if (want !== undefined) this.#tell(want, have, decision === "wait-for-other-node");
    }
    for (const name of this.#told.keys()) if (!wanted.has(name)) this.#told.delete(name);
    await this.#reportToNodes(existing);
  }

  async #create(want: Wanted): Promise<void> {
    const { volume, node, name } = want;
    const attachment: VolumeAttachment = {
      apiVersion: "storage.k8s.io/v1",
      kind: "VolumeAttachment",
      metadata: { name },
      spec: {
        attacher: asCsiVolume(volume)?.spec.csi.driver ?? "",
        nodeName: node,
        source: { persistentVolumeName: volume.metadata.name },
      },
    };
    try {
      await this.#context.client.resource(volumeAttachments).create(attachment);
    } catch (error) {
      if (codeOf(error) !== "already-exists") throw error;
    }
  }

  #tell(want: Wanted, attachment: Stored<VolumeAttachment> | undefined, elsewhere: boolean): void {
    const volume = want.volume.metadata.name;
    const problem = attachment?.status?.attachError?.message;
    const [type, reason, message] =
      attachment?.status?.attached === true
        ? (["Normal", "SuccessfulAttachVolume", `AttachVolume.Attach succeeded for volume "${volume}"`] as const)
        : elsewhere
          ? ([
              "Warning",
              "FailedAttachVolume",
              `Multi-Attach error for volume "${volume}": it is still attached to another node`,
            ] as const)
          : problem !== undefined
            ? ([
                "Warning",
                "FailedAttachVolume",
                `AttachVolume.Attach failed for volume "${volume}": ${problem}`,
              ] as const)
            : [undefined, "", ""];
    if (type === undefined || this.#told.get(want.name) === message) return;
    this.#told.set(want.name, message);
    for (const pod of want.pods) this.#recorder.record({ about: pod, type, reason, message });
  }

  /** A kubelet mounts what its Node's status says is attached. */
  async #reportToNodes(attachments: readonly Stored<VolumeAttachment>[]): Promise<void> {
    const { world, client } = this.#context;
    const byNode = new Map<string, { name: string; devicePath: string }[]>();
    for (const attachment of attachments) {
      const volume = world.volumes.get(attachment.spec.source.persistentVolumeName ?? "");
      const csi = volume === undefined ? undefined : asCsiVolume(volume)?.spec.csi;
      if (attachment.status?.attached !== true || csi === undefined) continue;
      const list = byNode.get(attachment.spec.nodeName) ?? [];
      list.push({ name: uniqueVolumeName(csi.driver, csi.volumeHandle), devicePath: "" });
      byNode.set(attachment.spec.nodeName, list);
    }
    for (const node of world.nodes.list()) {
      const attached = (byNode.get(node.metadata.name) ?? []).sort((a, b) => (a.name < b.name ? -1 : 1));
      if (isDeepStrictEqual(node.status?.volumesAttached ?? [], attached)) continue;
      const patch = {
        metadata: { uid: node.metadata.uid },
        status: { volumesAttached: attached.length > 0 ? attached : null },
      };
      await client.resource(nodes).patch(node.metadata.name, patch, { subresource: "status" });
    }
  }
}
