import { ControllerServiceCapability_RPC_Type as Rpc } from "@tripod/api/csi";
import {
  type CSINode,
  type PersistentVolume,
  type SecretReference,
  type Stored,
  timeNow,
  type VolumeAttachment,
} from "@tripod/api/kubernetes";
import { codeOf, failpoint, isTripodError, messageOf, TripodError } from "@tripod/base";
import { asCsiVolume, type CsiPersistentVolume } from "@tripod/csi/migration";
import { persistentVolumes, volumeAttachments, WorkQueue } from "@tripod/kube";
import { withSpan } from "@tripod/trace";
import { callOptions } from "../csi/call-options.ts";
import { capabilityOf } from "../csi/capability.ts";
import type { CsiDriver } from "../csi/csi-drivers.ts";
import { nodeDriver } from "../csi/node-driver.ts";
import { readSecrets } from "../csi/secrets.ts";
import { addFinalizer, removeFinalizer } from "../finalizers.ts";
import type { ControllerContext } from "../context.ts";
import { attacherFinalizer } from "./attached-volumes.ts";
import { attachedVolume } from "./plan-attachments.ts";

/** On an attachment: what its driver calls the node, and the volume. The first is upstream's. */
const nodeIdKey = "csi.alpha.kubernetes.io/node-id";
const volumeIdKey = "controllers.tripod.dev/volume-id";

/** gRPC's number for what the driver answered: a kubelet knows by it that a node takes no more volumes. */
const errorCodeOf = (error: unknown): { readonly errorCode?: number } =>
  isTripodError(error) && typeof error.detail["grpcStatus"] === "number"
    ? { errorCode: error.detail["grpcStatus"] }
    : {};

/** Carries out VolumeAttachments: ControllerPublishVolume and ControllerUnpublishVolume of the drivers registered here. */
export class CsiAttacher implements AsyncDisposable {
  readonly #context: ControllerContext;
  readonly #queue: WorkQueue;
  readonly #stack = new DisposableStack();
  /** Names of attachments that the driver is asked for although they count as attached. */
  readonly #again = new Set<string>();

  constructor(context: ControllerContext) {
    this.#context = context;
    const { world, log, csi } = context;
    this.#queue = new WorkQueue({ name: "attacher", log, concurrency: 10, firstDelayMs: 500 }, (name, signal) =>
      this.#sync(name, signal),
    );
    const changed = (attachment: Stored<VolumeAttachment>, previous?: Stored<VolumeAttachment>): void => {
      const deletes = previous?.metadata.deletionTimestamp !== attachment.metadata.deletionTimestamp;
      // Writing an error into the status must not start the next try at once.
      if (previous === undefined || deletes || this.#queue.failuresOf(attachment.metadata.name) === 0)
        this.#queue.add(attachment.metadata.name);
    };
    this.#stack.defer(world.attachments.on({ added: (attachment) => changed(attachment), updated: changed }));
    this.#stack.defer(
      csi.onRegistered((driver) => {
        for (const attachment of world.attachments.list())
          if (attachment.spec.attacher === driver) this.#queue.add(attachment.metadata.name);
      }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stack.dispose();
    await this.#queue.close();
  }

  /** Has the driver asked once more for what counts as attached. */
  attachAgain(name: string): void {
    this.#again.add(name);
    this.#queue.add(name);
  }

  async #sync(name: string, signal: AbortSignal): Promise<void> {
    const { world, csi } = this.#context;
    const isAgain = this.#again.delete(name);
    const attachment = world.attachments.get(name);
    if (attachment === undefined) return;
    const driver = csi.get(attachment.spec.attacher);
    if (driver === undefined) return;
    const attributes = {
      "volume.name": attachment.spec.source.persistentVolumeName,
      "node.name": attachment.spec.nodeName,
      "csi.driver": driver.name,
    };
    if (attachment.metadata.deletionTimestamp !== undefined) {
      if (attachment.metadata.finalizers?.includes(attacherFinalizer(driver.name)) !== true) return;
      await withSpan("attacher.detach", attributes, () => this.#detach(attachment, driver, signal));
    } else if (attachment.status?.attached !== true || isAgain) {
      await withSpan("attacher.attach", attributes, () => this.#attach(attachment, driver, signal));
    }
  }

  async #attach(attachment: Stored<VolumeAttachment>, driver: CsiDriver, signal: AbortSignal): Promise<void> {
    try {
      let publishContext: Record<string, string> = {};
      if (driver.rpcs.has(Rpc.PUBLISH_UNPUBLISH_VOLUME)) {
        const volume = await this.#volumeOf(attachment);
        const { csi } = volume.spec;
        const finalizer = attacherFinalizer(driver.name);
        if (isStored(volume)) await addFinalizer(this.#context.client.resource(persistentVolumes), volume, finalizer);
        failpoint("controllers.attacher.volume-held");
        const nodeId = this.#nodeIdOf(attachment);
        await this.#hold(attachment, finalizer, { [nodeIdKey]: nodeId, [volumeIdKey]: csi.volumeHandle });
        failpoint("controllers.attacher.held");
        const reply = await driver.controller.controllerPublishVolume(
          {
            volumeId: csi.volumeHandle,
            nodeId,
            volumeCapability: capabilityOf(volume, driver.rpcs),
            readonly: csi.readOnly === true && driver.rpcs.has(Rpc.PUBLISH_READONLY),
            volumeContext: csi.volumeAttributes ?? {},
            secrets: await readSecrets(this.#context.client, csi.controllerPublishSecretRef, signal),
          },
          callOptions(signal),
        );
        publishContext = reply.publishContext;
        failpoint("controllers.attacher.published");
      }
      await this.#setStatus(attachment, { attached: true, attachmentMetadata: publishContext, attachError: null });
    } catch (error) {
      if (!signal.aborted)
        await this.#setStatus(attachment, {
          attached: false,
          attachError: { time: timeNow(), message: messageOf(error), ...errorCodeOf(error) },
        });
      throw error;
    }
  }

  async #detach(attachment: Stored<VolumeAttachment>, driver: CsiDriver, signal: AbortSignal): Promise<void> {
    const finalizer = attacherFinalizer(driver.name);
    const { client } = this.#context;
    try {
      const { volumeId, secret } = await this.#whatToDetach(attachment);
      const secrets = await readSecrets(client, secret, signal);
      const nodeId = this.#nodeIdOf(attachment);
      await driver.controller.controllerUnpublishVolume({ volumeId, nodeId, secrets }, callOptions(signal));
      failpoint("controllers.attacher.unpublished");
      await removeFinalizer(client.resource(volumeAttachments), attachment, finalizer);
    } catch (error) {
      if (!signal.aborted)
        await this.#setStatus(attachment, { detachError: { time: timeNow(), message: messageOf(error) } });
      throw error;
    }
  }

  /** The finalizer, and what has to be known for detaching when the volume or the node is gone, in one write. */
  async #hold(attachment: Stored<VolumeAttachment>, finalizer: string, annotations: object): Promise<void> {
    const { name, uid } = attachment.metadata;
    const patch = { metadata: { uid, finalizers: [finalizer], annotations } };
    await this.#context.client.resource(volumeAttachments).patch(name, patch, { type: "strategic" });
  }

  async #whatToDetach(
    attachment: Stored<VolumeAttachment>,
  ): Promise<{ readonly volumeId: string; readonly secret: SecretReference | undefined }> {
    try {
      const { csi } = (await this.#volumeOf(attachment)).spec;
      return { volumeId: csi.volumeHandle, secret: csi.controllerPublishSecretRef };
    } catch (error) {
      const volumeId = attachment.metadata.annotations?.[volumeIdKey];
      if (codeOf(error) !== "not-found" || volumeId === undefined) throw error;
      return { volumeId, secret: undefined };
    }
  }

  #nodeIdOf(attachment: Stored<VolumeAttachment>): string {
    const { attacher, nodeName } = attachment.spec;
    const id = nodeIdOf(attachment, this.#context.world.csiNodes.get(nodeName));
    if (id !== undefined) return id;
    throw new TripodError("unavailable", `driver ${attacher} is not registered on node ${nodeName}`);
  }

  async #volumeOf(attachment: VolumeAttachment): Promise<CsiPersistentVolume<PersistentVolume>> {
    const { world, client } = this.#context;
    const name = attachment.spec.source.persistentVolumeName ?? "";
    const volume =
      attachedVolume(attachment, (known) => world.volumes.get(known)) ??
      (await client.resource(persistentVolumes).get(name));
    const migrated = asCsiVolume(volume);
    if (migrated === undefined)
      throw new TripodError("invalid", `attach ${attachment.metadata.name}: it is no CSI volume`);
    return migrated;
  }

  async #setStatus(attachment: Stored<VolumeAttachment>, status: object): Promise<void> {
    const { name, uid } = attachment.metadata;
    try {
      await this.#context.client
        .resource(volumeAttachments)
        .patch(name, { metadata: { uid }, status }, { subresource: "status" });
    } catch (error) {
      if (codeOf(error) !== "not-found" && codeOf(error) !== "conflict") throw error;
    }
  }
}

/** Whether the volume is an object of the cluster; one that stands in its attachment is none. */
const isStored = (volume: PersistentVolume): volume is Stored<PersistentVolume> => volume.metadata.uid !== undefined;

/** What the driver calls the node of an attachment; once attached, also when the node is gone. */
export const nodeIdOf = ({ metadata, spec }: VolumeAttachment, csiNode: CSINode | undefined): string | undefined =>
  nodeDriver(csiNode, spec.attacher)?.nodeID ?? metadata.annotations?.[nodeIdKey];
