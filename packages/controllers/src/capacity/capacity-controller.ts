import { ControllerServiceCapability_RPC_Type as Rpc } from "@tripod/api/csi";
import type { CSIStorageCapacity, PersistentVolume, Stored } from "@tripod/api/kubernetes";
import { failpoint } from "@tripod/base";
import { csiStorageCapacities, WorkQueue } from "@tripod/kube";
import { callOptions } from "../csi/call-options.ts";
import type { ControllerContext } from "../context.ts";
import { ignoreGone } from "../ignore-gone.ts";
import { volumeParameters } from "../provisioner/plan-provision.ts";
import { unlessInvalid } from "../unless-invalid.ts";
import { annotations } from "../volumes/annotations.ts";
import { knownCsiVolume } from "../volumes/known-csi-volume.ts";
import { sizeText } from "../volumes/size-text.ts";
import {
  capacityNamespace,
  capacityObject,
  driverOfCapacity,
  isOurs,
  type WantedCapacity,
  wantedCapacities,
} from "./plan-capacity.ts";

export interface CapacityOptions {
  /** How often drivers are asked without a reason; 60,000 unless told. */
  readonly askEveryMs?: number;
}

/** Volumes that come in numbers must not have their driver asked after each. */
const settleMs = 200;

/** Writes down how much storage drivers have for volumes of a class, and where, so that the scheduler need not guess. */
export class CapacityController implements AsyncDisposable {
  readonly #context: ControllerContext;
  readonly #queue: WorkQueue;
  readonly #stack = new DisposableStack();
  /** By the name of the object; undefined until somebody looks, after things have changed. */
  #wanted: ReadonlyMap<string, WantedCapacity> | undefined;
  readonly #toAsk = new Set<string>();
  #asking: NodeJS.Timeout | undefined;

  constructor(context: ControllerContext, options: CapacityOptions = {}) {
    this.#context = context;
    const { world, log, csi } = context;
    this.#queue = new WorkQueue({ name: "storage capacity", log, firstDelayMs: 500 }, (name, signal) =>
      this.#sync(name, signal),
    );
    const replan = (): void => this.#replan();
    for (const informer of [world.nodes, world.classes, world.drivers, world.csiNodes])
      this.#stack.defer(informer.on({ added: replan, deleted: replan, updated: replan }));
    this.#stack.defer(csi.onRegistered(replan));
    this.#stack.defer(
      world.capacities.on({
        added: (object) => this.#lookAt(object),
        updated: (object) => this.#lookAt(object),
        deleted: (object) => this.#lookAt(object),
      }),
    );
    const volumeChanged = (volume: PersistentVolume): void => this.#ask(knownCsiVolume(volume)?.spec.csi.driver);
    this.#stack.defer(
      world.volumes.on({
        added: volumeChanged,
        deleted: volumeChanged,
        updated: (volume, { spec }) => {
          if (volume.spec.capacity?.storage !== spec.capacity?.storage) volumeChanged(volume);
        },
      }),
    );
    // A node that was given up had less than was said.
    const nodeOf = ({ metadata }: { metadata: { annotations?: Record<string, string> } }) =>
      metadata.annotations?.[annotations.selectedNode];
    this.#stack.defer(
      world.claims.on({
        updated: (claim, previous) => {
          const storageClass = world.classes.get(claim.spec.storageClassName ?? "");
          if (storageClass !== undefined && nodeOf(previous) !== undefined && nodeOf(claim) === undefined)
            this.#ask(context.serving.provisionerOf(storageClass));
        },
      }),
    );
    const timer = setInterval(() => {
      for (const name of this.#plan().keys()) this.#queue.add(name);
    }, options.askEveryMs ?? 60_000);
    timer.unref();
    this.#stack.defer(() => clearInterval(timer));
    this.#stack.defer(() => clearTimeout(this.#asking));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stack.dispose();
    await this.#queue.close();
  }

  #plan(): ReadonlyMap<string, WantedCapacity> {
    const { world, csi, serving } = this.#context;
    this.#wanted ??= wantedCapacities({
      drivers: world.drivers.list(),
      classes: world.classes.list().flatMap((each) => unlessInvalid(() => serving.classOf(each)) ?? []),
      nodes: world.nodes.list().map((node) => ({ node, csiNode: world.csiNodes.get(node.metadata.name) })),
      hasTopology: (name) => {
        const driver = csi.get(name);
        return driver?.rpcs.has(Rpc.GET_CAPACITY) === true ? driver.hasTopology : undefined;
      },
    });
    return this.#wanted;
  }

  /** Nodes change all the time; only what came or went is looked at. */
  #replan(): void {
    const before = this.#wanted;
    this.#wanted = undefined;
    const now = this.#plan();
    for (const name of new Set([...(before?.keys() ?? []), ...now.keys()]))
      if (before?.has(name) !== now.has(name)) this.#queue.add(name);
    for (const object of this.#context.world.capacities.list()) this.#lookAt(object);
  }

  /** An object that nobody needs goes, one that somebody else took away comes again. */
  #lookAt({ metadata }: Stored<CSIStorageCapacity>): void {
    const { name, namespace } = metadata;
    const isThere = this.#context.world.capacities.get(`${namespace}/${name}`) !== undefined;
    if (namespace === capacityNamespace && this.#plan().has(name) !== isThere) this.#queue.add(name);
  }

  #ask(driver: string | undefined): void {
    if (driver === undefined) return;
    this.#toAsk.add(driver);
    this.#asking ??= setTimeout(() => {
      this.#asking = undefined;
      for (const { name, driver: asked } of this.#plan().values())
        if (this.#toAsk.has(asked.metadata.name)) this.#queue.add(name);
      this.#toAsk.clear();
    }, settleMs);
  }

  async #sync(name: string, signal: AbortSignal): Promise<void> {
    const { world, client } = this.#context;
    const wanted = this.#plan().get(name);
    const existing = world.capacities.get(`${capacityNamespace}/${name}`);
    if (wanted !== undefined) return this.#refresh(wanted, existing, signal);
    if (existing === undefined || !isOurs(existing) || this.#isAway(existing)) return;
    const options = { namespace: capacityNamespace, uid: existing.metadata.uid };
    await ignoreGone(client.resource(csiStorageCapacities).delete(name, options));
    failpoint("controllers.capacity.deleted");
  }

  /** Its driver is not registered here, though it should be: what it said last stays, until it comes back. */
  #isAway(object: Stored<CSIStorageCapacity>): boolean {
    const { world, csi } = this.#context;
    const name = driverOfCapacity(object);
    return (
      csi.get(name) === undefined &&
      world.drivers.get(name)?.spec.storageCapacity === true &&
      world.classes.get(object.storageClassName) !== undefined
    );
  }

  async #refresh(
    wanted: WantedCapacity,
    existing: Stored<CSIStorageCapacity> | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const { client, csi } = this.#context;
    const driver = csi.get(wanted.driver.metadata.name);
    if (driver === undefined) return;
    const reply = await driver.controller.getCapacity(
      {
        parameters: volumeParameters(wanted.class),
        ...(driver.hasTopology ? { accessibleTopology: { segments: { ...wanted.segments } } } : {}),
      },
      callOptions(signal),
    );
    const { availableCapacity, maximumVolumeSize: most } = reply;
    const capacity = sizeText(availableCapacity);
    const maximumVolumeSize = most === undefined ? undefined : sizeText(most);
    if (existing?.capacity === capacity && existing.maximumVolumeSize === maximumVolumeSize) return;
    const object = capacityObject(wanted, {
      capacity,
      ...(maximumVolumeSize === undefined ? {} : { maximumVolumeSize }),
    });
    const capacities = client.resource(csiStorageCapacities);
    if (existing === undefined) await capacities.create(object);
    else await capacities.update({ ...object, metadata: { ...existing.metadata, ...object.metadata } });
    failpoint("controllers.capacity.saved");
  }
}
