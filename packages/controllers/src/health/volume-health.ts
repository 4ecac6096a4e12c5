import { isDeepStrictEqual } from "node:util";
import { ControllerServiceCapability_RPC_Type as Rpc, type VolumeHealth } from "@tripod/api/csi";
import { keyOf, type PersistentVolumeClaim, type Stored, timeNow } from "@tripod/api/kubernetes";
import { codeOf, failpoint } from "@tripod/base";
import { listPages } from "@tripod/csi";
import { type EventRecorder, WorkQueue } from "@tripod/kube";
import { Attempts } from "../attempts.ts";
import type { ControllerContext } from "../context.ts";
import type { CsiDriver } from "../csi/csi-drivers.ts";
import { knownCsiVolume } from "../volumes/known-csi-volume.ts";
import { patchClaimStatus } from "../volumes/patch-claim-status.ts";
import { healthConditions, healthText } from "./claim-health.ts";

export interface VolumeHealthOptions {
  /** How often drivers are asked; 60,000 unless told. */
  readonly askEveryMs?: number;
}

const callTimeoutMs = 30_000;

type Problems = VolumeHealth["healthStatuses"];

/** Asks drivers that know how the volumes of claims are; what changes is in the claim's status, and an Event. */
export class VolumeHealthMonitor implements AsyncDisposable {
  readonly #context: ControllerContext;
  readonly #recorder: EventRecorder;
  readonly #queue: WorkQueue;
  readonly #timer: NodeJS.Timeout;
  readonly #stack = new DisposableStack();
  /** Drivers that can be asked. */
  readonly #drivers = new Set<string>();
  /** What was told last of claims whose volumes are not well, by uid. */
  readonly #told = new Map<string, string>();

  constructor(context: ControllerContext, options: VolumeHealthOptions = {}) {
    this.#context = context;
    this.#recorder = context.recorder("csi-volume-health-monitor");
    const { world, log, csi } = context;
    this.#queue = new WorkQueue({ name: "volume health", log }, (driver, signal) => this.#ask(driver, signal));
    this.#stack.defer(csi.onRegistered((name) => void this.#drivers.add(name)));
    this.#stack.defer(world.claims.on({ deleted: ({ metadata }) => this.#told.delete(metadata.uid) }));
    this.#timer = setInterval(() => {
      for (const name of this.#drivers) this.#queue.add(name);
    }, options.askEveryMs ?? 60_000);
    this.#timer.unref();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    this.#stack.dispose();
    await this.#queue.close();
  }

  async #ask(name: string, signal: AbortSignal): Promise<void> {
    const driver = this.#context.csi.get(name);
    if (driver === undefined || !driver.rpcs.has(Rpc.GET_VOLUME_HEALTH)) return;
    const listed = driver.rpcs.has(Rpc.LIST_VOLUME_HEALTH) ? await listProblems(driver, signal) : undefined;
    const attempts = new Attempts();
    for (const { claim, handle } of this.#claimsOf(name)) {
      signal.throwIfAborted();
      const problems = listed?.get(handle);
      // A list leaves out what is well; it may also have missed a volume that is not.
      const isNew = problems === undefined && (listed === undefined || this.#wasIll(claim));
      await attempts.make(async () =>
        this.#tell(claim, problems ?? (isNew ? await getProblems(driver, handle, signal) : [])),
      );
    }
    attempts.finish(`ask driver ${name} how its volumes are`);
  }

  #wasIll({ metadata, status }: Stored<PersistentVolumeClaim>): boolean {
    return this.#told.has(metadata.uid) || status?.healthStatus !== undefined;
  }

  /** Claims that are bound to a driver's volumes. */
  #claimsOf(driver: string): { readonly claim: Stored<PersistentVolumeClaim>; readonly handle: string }[] {
    const { world } = this.#context;
    return world.claims.list().flatMap((claim) => {
      const volume = claim.status?.phase === "Bound" ? world.volumes.get(claim.spec.volumeName ?? "") : undefined;
      const csi = volume === undefined ? undefined : knownCsiVolume(volume)?.spec.csi;
      return csi?.driver === driver ? [{ claim, handle: csi.volumeHandle }] : [];
    });
  }

  async #tell(claim: Stored<PersistentVolumeClaim>, problems: Problems | undefined): Promise<void> {
    if (problems === undefined) return;
    const { uid } = claim.metadata;
    // Gone, or changed, while its driver was asked.
    const latest = this.#context.world.claims.get(keyOf(claim));
    if (latest?.metadata.uid !== uid) return;
    const conditions = healthConditions(problems);
    const before = latest.status?.healthStatus?.healthConditions ?? [];
    const wasIll = this.#wasIll(latest);
    if (!isDeepStrictEqual(before, conditions)) {
      const healthStatus =
        conditions.length === 0 ? null : { healthConditions: conditions, lastTransitionTime: timeNow() };
      const patch = { metadata: { uid }, status: { healthStatus } };
      await patchClaimStatus(this.#context.client, claim, patch);
      failpoint("controllers.health.saved");
    }
    const text = healthText(conditions);
    if (text === (this.#told.get(uid) ?? "") && (text !== "" || !wasIll)) return;
    const volume = `Volume ${claim.spec.volumeName}`;
    if (text === "") {
      this.#told.delete(uid);
      const message = `${volume}: is well again`;
      this.#recorder.record({ about: claim, type: "Normal", reason: "VolumeConditionNormal", message });
    } else {
      this.#told.set(uid, text);
      const message = `${volume}: ${text}`;
      this.#recorder.record({ about: claim, type: "Warning", reason: "VolumeConditionAbnormal", message });
    }
  }
}

/** The problems of a driver's volumes, of those that have any. */
async function listProblems(driver: CsiDriver, signal: AbortSignal): Promise<Map<string, Problems>> {
  const problems = new Map<string, Problems>();
  const options = { signal, timeoutMs: callTimeoutMs };
  for await (const { entries } of listPages((from) => driver.controller.controllerListVolumeHealth(from, options)))
    for (const { volumeId, healthStatuses } of entries) problems.set(volumeId, healthStatuses);
  return problems;
}

/** The problems of one volume; undefined when its driver does not know it (any more). */
async function getProblems(driver: CsiDriver, volumeId: string, signal: AbortSignal): Promise<Problems | undefined> {
  try {
    const { volumeHealth } = await driver.controller.controllerGetVolumeHealth(
      { volumeId },
      { signal, timeoutMs: callTimeoutMs },
    );
    return volumeHealth?.healthStatuses ?? [];
  } catch (error) {
    if (codeOf(error) === "not-found") return undefined;
    throw error;
  }
}
