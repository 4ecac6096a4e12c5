import { ControllerServiceCapability_RPC_Type as Rpc } from "@tripod/api/csi";
import { listPages } from "@tripod/csi";
import { WorkQueue } from "@tripod/kube";
import { callOptions } from "../csi/call-options.ts";
import type { ControllerContext } from "../context.ts";
import type { CsiDriver } from "../csi/csi-drivers.ts";
import { knownCsiVolume } from "../volumes/known-csi-volume.ts";
import { type CsiAttacher, nodeIdOf } from "./csi-attacher.ts";
import { attachedVolume } from "./plan-attachments.ts";

export interface PublishedCheckOptions {
  /** How often drivers are asked what is attached; 60,000 unless told. */
  readonly checkEveryMs?: number;
}

/** Asks drivers that can tell whether what counts as attached is so, and has attached again what is not. */
export class PublishedCheck implements AsyncDisposable {
  readonly #context: ControllerContext;
  readonly #attacher: CsiAttacher;
  readonly #queue: WorkQueue;
  readonly #timer: NodeJS.Timeout;

  constructor(context: ControllerContext, attacher: CsiAttacher, options: PublishedCheckOptions = {}) {
    this.#context = context;
    this.#attacher = attacher;
    const { world, log } = context;
    this.#queue = new WorkQueue({ name: "check of what is attached", log }, (driver, signal) =>
      this.#check(driver, signal),
    );
    this.#timer = setInterval(() => {
      for (const name of new Set(world.attachments.list().map(({ spec }) => spec.attacher))) this.#queue.add(name);
    }, options.checkEveryMs ?? 60_000);
    this.#timer.unref();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    await this.#queue.close();
  }

  async #check(name: string, signal: AbortSignal): Promise<void> {
    const { world, csi, log } = this.#context;
    const driver = csi.get(name);
    if (driver === undefined || !driver.rpcs.has(Rpc.LIST_VOLUMES)) return;
    if (!driver.rpcs.has(Rpc.LIST_VOLUMES_PUBLISHED_NODES)) return;
    // What is attached while the driver answers is no news.
    const attached = world.attachments.list().filter(({ spec, metadata, status }) => {
      const isWanted = spec.attacher === name && metadata.deletionTimestamp === undefined;
      return isWanted && status?.attached === true;
    });
    const published = await publishedNodes(driver, signal);
    for (const attachment of attached) {
      const volume = attachedVolume(attachment, (pv) => world.volumes.get(pv));
      const csiVolume = volume === undefined ? undefined : knownCsiVolume(volume);
      const nodeId = nodeIdOf(attachment, world.csiNodes.get(attachment.spec.nodeName));
      if (csiVolume === undefined || nodeId === undefined) continue;
      if (published.get(csiVolume.spec.csi.volumeHandle)?.has(nodeId) === true) continue;
      const fields = { volume: volume?.metadata.name, node: attachment.spec.nodeName, driver: name };
      log.warn(fields, "a volume that counts as attached is not, attaching it again");
      this.#attacher.attachAgain(attachment.metadata.name);
    }
  }
}

/** The nodes on which each of a driver's volumes is published. */
async function publishedNodes(driver: CsiDriver, signal: AbortSignal): Promise<Map<string, ReadonlySet<string>>> {
  const published = new Map<string, ReadonlySet<string>>();
  const options = callOptions(signal);
  for await (const { entries } of listPages((from) => driver.controller.listVolumes(from, options)))
    for (const { volume, status } of entries)
      if (volume !== undefined) published.set(volume.volumeId, new Set(status?.publishedNodeIds));
  return published;
}
