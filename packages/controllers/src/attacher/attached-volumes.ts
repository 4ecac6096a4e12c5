import type { PersistentVolume, Stored } from "@tripod/api/kubernetes";
import { failpoint } from "@tripod/base";
import { persistentVolumes, WorkQueue } from "@tripod/kube";
import type { ControllerContext } from "../context.ts";
import { removeFinalizer } from "../finalizers.ts";
import { knownCsiVolume } from "../volumes/known-csi-volume.ts";

/** The finalizer under which a driver's attachments and attached volumes are held; upstream's. */
export const attacherFinalizer = (driver: string): string => `external-attacher/${driver.replaceAll(".", "-")}`;

/** Lets PersistentVolumes go that are being deleted, and were held to be attached, when no attachment of theirs is left. */
export class AttachedVolumes implements AsyncDisposable {
  readonly #context: ControllerContext;
  readonly #queue: WorkQueue;
  readonly #stack = new DisposableStack();

  constructor(context: ControllerContext) {
    this.#context = context;
    const { world, log } = context;
    this.#queue = new WorkQueue({ name: "attached volumes", log }, (name) => this.#sync(name));
    const look = (volume: Stored<PersistentVolume>): void => {
      if (volume.metadata.deletionTimestamp !== undefined) this.#queue.add(volume.metadata.name);
    };
    this.#stack.defer(world.volumes.on({ added: look, updated: look }));
    this.#stack.defer(
      world.attachments.on({ deleted: ({ spec }) => this.#queue.add(spec.source.persistentVolumeName ?? "") }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stack.dispose();
    await this.#queue.close();
  }

  async #sync(name: string): Promise<void> {
    const { world, client } = this.#context;
    const volume = world.volumes.get(name);
    if (volume?.metadata.deletionTimestamp === undefined) return;
    const driver = knownCsiVolume(volume)?.spec.csi.driver;
    if (driver === undefined || world.attachments.list().some(({ spec }) => spec.source.persistentVolumeName === name))
      return;
    await removeFinalizer(client.resource(persistentVolumes), volume, attacherFinalizer(driver));
    failpoint("controllers.attacher.volume-freed");
  }
}
