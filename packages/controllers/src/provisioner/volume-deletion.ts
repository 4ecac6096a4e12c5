import type { PersistentVolume, SecretReference, Stored } from "@tripod/api/kubernetes";
import { codeOf, failpoint, messageOf } from "@tripod/base";
import { persistentVolumes, WorkQueue } from "@tripod/kube";
import { withSpan } from "@tripod/trace";
import { callOptions } from "../csi/call-options.ts";
import type { ControllerContext } from "../context.ts";
import { readSecrets } from "../csi/secrets.ts";
import { removeFinalizer } from "../finalizers.ts";
import { ignoreGone } from "../ignore-gone.ts";
import { annotations } from "../volumes/annotations.ts";
import { provisionerFinalizer } from "./plan-provision.ts";

/** Its claim is gone and its policy is to delete it; or it is being deleted by somebody who keeps the data. */
function isToDelete(volume: PersistentVolume): boolean {
  const provisioner = volume.metadata.annotations?.[annotations.provisionedBy];
  if (provisioner === undefined || volume.spec.csi?.driver !== provisioner) return false;
  if (volume.spec.persistentVolumeReclaimPolicy !== "Delete") {
    // Somebody chose to keep the data: then the object may go.
    return (
      volume.metadata.deletionTimestamp !== undefined &&
      volume.metadata.finalizers?.includes(provisionerFinalizer) === true
    );
  }
  return volume.status?.phase === "Released" || volume.status?.phase === "Failed";
}

/** Deletes volumes that were made here and that nobody claims any more, the storage first. */
export class VolumeDeletion implements AsyncDisposable {
  readonly #context: ControllerContext;
  readonly #queue: WorkQueue;
  readonly #stack = new DisposableStack();

  constructor(context: ControllerContext) {
    this.#context = context;
    const { world, log } = context;
    const options = { name: "volume deletion", log, concurrency: 10, firstDelayMs: 500, longestDelayMs: 60_000 };
    this.#queue = new WorkQueue(options, (name, signal) => this.#sync(name, signal));
    const changed = (volume: Stored<PersistentVolume>): void => {
      if (isToDelete(volume) && this.#queue.failuresOf(volume.metadata.name) === 0)
        this.#queue.add(volume.metadata.name);
    };
    this.#stack.defer(world.volumes.on({ added: changed, updated: changed }));
    this.#stack.defer(
      world.attachments.on({
        deleted: ({ spec }) => {
          const volume = world.volumes.get(spec.source.persistentVolumeName ?? "");
          if (volume !== undefined) changed(volume);
        },
      }),
    );
    this.#stack.defer(
      context.csi.onRegistered(() => {
        for (const volume of world.volumes.list()) if (isToDelete(volume)) this.#queue.add(volume.metadata.name);
      }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stack.dispose();
    await this.#queue.close();
  }

  async #sync(name: string, signal: AbortSignal): Promise<void> {
    const { world, csi, client } = this.#context;
    const volume = world.volumes.get(name);
    if (volume === undefined || !isToDelete(volume)) return;
    const handle = volume.spec.csi;
    const driver = csi.get(handle?.driver ?? "");
    if (handle === undefined) return;
    if (volume.spec.persistentVolumeReclaimPolicy === "Delete") {
      if (driver === undefined) return;
      const attached = world.attachments.list().some((each) => each.spec.source.persistentVolumeName === name);
      // Its going brings us back.
      if (attached) return;
      const {
        [annotations.deletionSecretName]: secretName = "",
        [annotations.deletionSecretNamespace]: namespace = "",
      } = volume.metadata.annotations ?? {};
      const reference: SecretReference | undefined = secretName === "" ? undefined : { name: secretName, namespace };
      try {
        await withSpan("provisioner.delete", { "volume.name": name, "csi.driver": driver.name }, async () => {
          const secrets = await readSecrets(client, reference, signal);
          await driver.controller.deleteVolume({ volumeId: handle.volumeHandle, secrets }, callOptions(signal));
        });
      } catch (error) {
        if (!signal.aborted) await this.#failed(volume, driver.name, error);
        throw error;
      }
      failpoint("controllers.provisioner.volume-deleted");
      await ignoreGone(client.resource(persistentVolumes).delete(name, { uid: volume.metadata.uid, signal }));
    }
    await removeFinalizer(client.resource(persistentVolumes), volume, provisionerFinalizer);
  }

  /** Says what keeps the storage there; it is tried again all the same. */
  async #failed(volume: Stored<PersistentVolume>, driver: string, error: unknown): Promise<void> {
    const message = messageOf(error);
    const recorder = this.#context.recorder(`${driver}_tripod`);
    // Still in use somewhere, it only needs more time.
    if (codeOf(error) === "failed-precondition")
      return recorder.record({ about: volume, type: "Normal", reason: "VolumeDelete", message });
    const reason = "VolumeFailedDelete";
    recorder.record({ about: volume, type: "Warning", reason, message });
    if (volume.status?.phase === "Failed" && volume.status.message === message) return;
    const { name, uid } = volume.metadata;
    const patch = { metadata: { uid }, status: { phase: "Failed", reason, message } };
    await ignoreGone(this.#context.client.resource(persistentVolumes).patch(name, patch, { subresource: "status" }));
    failpoint("controllers.provisioner.failure-saved");
  }
}
