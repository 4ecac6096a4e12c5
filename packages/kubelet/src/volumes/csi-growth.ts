import type { PersistentVolume, PersistentVolumeClaim, Pod } from "@tripod/api/kubernetes";
import { Backoff, failpoint, isTripodError, messageOf, TripodError } from "@tripod/base";
import { bytesOf } from "../pods/quantities.ts";
import { staticSizeKey } from "@tripod/csi/migration";
import { type Growth, growthBegun, growthDone, growthFailed, planGrowth } from "./claim-growth.ts";
import { volumeCapability } from "./csi-capability.ts";
import { type CsiContext, type CsiPublication, volumeKey } from "./csi-publication.ts";
import type { CsiVolume } from "./csi-spec.ts";
import { secretsOf } from "./csi-secrets.ts";

/** A call that ended so may still be at work, or may succeed in the same form later: nothing is written down about it. */
const passing = ["cancelled", "timeout", "unavailable", "exhausted", "aborted"] as const;
const infeasible = ["invalid", "out-of-range", "not-found"] as const;

/** Whether the driver itself has said no, and with one of these codes. */
const saidBy = (error: unknown, ...codes: Parameters<typeof isTripodError>[1][]): boolean =>
  isTripodError(error, ...codes) && error.detail["grpcStatus"] !== undefined;

/** What is remembered of a volume that is mounted here. */
interface Held {
  /** The size that the volume has on this node. */
  bytes: number | undefined;
  /** The size to which it was last grown here, as far as the driver and the mount allow; 0 when it was not. */
  grownBytes: number;
  /** The driver does not grow it while it is used: not tried again before it is mounted anew. */
  refused: boolean;
  failed: boolean;
  readonly backoff: Backoff;
  retryAtMs: number;
}

/** Grows volumes on this node when their PersistentVolume has become larger, in use or at the next mount. */
export class CsiGrowth {
  readonly #context: CsiContext;
  readonly #held = new Map<string, Held>();

  constructor(context: CsiContext) {
    this.#context = context;
  }

  /** When a failed growth is tried again, in Unix ms; undefined when nothing waits. */
  retryAtMs(key: string): number | undefined {
    const held = this.#held.get(key);
    return held === undefined || held.retryAtMs === 0 ? undefined : held.retryAtMs;
  }

  /** The volume is used on this node no more. */
  forget(key: string): void {
    this.#held.delete(key);
  }

  /** Grows a volume in use where it has to be. A failure is an Event, and comes again later. */
  async growInUse(pod: Pod, publication: CsiPublication, signal: AbortSignal): Promise<void> {
    const held = this.#of(volumeKey(publication.volume));
    if (held.retryAtMs > Date.now()) return;
    try {
      await this.grow(pod, publication, signal);
      held.retryAtMs = 0;
      held.backoff.reset();
    } catch (error) {
      if (signal.aborted) throw error;
      held.retryAtMs = Date.now() + held.backoff.next();
      const { volumeName } = publication;
      const message = `NodeExpandVolume.NodeExpandVolume failed for volume "${volumeName}" : ${messageOf(error)}`;
      this.#context.events.warning(pod, "VolumeResizeFailed", message);
    }
  }

  /** Grows a volume where it has to be; what the driver answered is in the claim's status then. */
  async grow(pod: Pod, publication: CsiPublication, signal: AbortSignal): Promise<void> {
    const { volume } = publication;
    const { objects, locks, events } = this.#context;
    const key = volumeKey(volume);
    const held = this.#of(key);
    if (volume.claim === undefined || held.refused) return;
    const { namespace, name } = volume.claim;
    await locks.run(key, async () => {
      const [claim, pv] = await Promise.all([
        objects.claim(namespace, name),
        objects.persistentVolume(volume.specName),
      ]);
      if (claim === undefined || pv === undefined) return;
      const planned = planGrowth(claim, pv, held.bytes);
      const plan = planned.kind === "expand" ? planned : (grownBeforeMade(volume, pv, held.grownBytes) ?? planned);
      if (plan.kind === "none") held.bytes ??= bytesOf(claim.status?.capacity?.["storage"]);
      else if (plan.kind === "complete") held.bytes = bytesOf(pv.spec?.capacity?.["storage"]);
      else if (volume.readOnly) {
        held.bytes = bytesOf(plan.newSize);
        held.grownBytes = held.bytes ?? 0;
        const message = "MountVolume.NodeExpandVolume failed for volume : requested read-only file system";
        events.warning(pod, "FileSystemResizeFailed", message);
        events.claim(claim, { type: "Warning", reason: "FileSystemResizeFailed", message });
      } else {
        await this.#expand(pod, publication, { claim, plan, held }, signal);
        held.bytes = bytesOf(plan.newSize);
        held.grownBytes = held.bytes ?? 0;
      }
    });
  }

  #of(key: string): Held {
    const known = this.#held.get(key);
    if (known !== undefined) return known;
    const backoff = new Backoff({ initialMs: 500, maxMs: 122_000 });
    const held = { bytes: undefined, grownBytes: 0, refused: false, failed: false, backoff, retryAtMs: 0 };
    this.#held.set(key, held);
    return held;
  }

  async #expand(pod: Pod, publication: CsiPublication, work: Work, signal: AbortSignal): Promise<void> {
    const { claim, plan, held } = work;
    const { objects, events } = this.#context;
    if (claim.status?.allocatedResourceStatuses?.["storage"] === "NodeResizePending") {
      await objects.patchClaimStatus(claim, growthBegun);
    }
    failpoint("kubelet.csi.growth-begun");
    try {
      await this.#call(publication, plan.newSize, signal);
    } catch (error) {
      if (signal.aborted) throw error;
      if (plan.recorded && isTripodError(error, "unimplemented")) return;
      await this.#noteFailure(work, error);
      if (!saidBy(error, "failed-precondition")) throw error;
      // The driver does not grow volumes in use: that must not keep a Pod from its volume.
      held.refused = true;
      events.warning(pod, "VolumeResizeFailed", `NodeExpandVolume failed : ${messageOf(error)}`);
      return;
    }
    failpoint("kubelet.csi.expanded");
    const message = `MountVolume.NodeExpandVolume succeeded for volume "${publication.volumeName}" ${this.#context.nodeName}`;
    events.normal(pod, "FileSystemResizeSuccessful", message);
    events.claim(claim, { type: "Normal", reason: "FileSystemResizeSuccessful", message });
    if (!plan.recorded) await objects.patchClaimStatus(claim, (now) => growthDone(now, plan.newSize));
    failpoint("kubelet.csi.growth-recorded");
  }

  async #call(
    { volume, targetPath, stagingPath }: CsiPublication,
    newSize: string,
    signal: AbortSignal,
  ): Promise<void> {
    const { drivers, objects, callTimeoutMs, log } = this.#context;
    const driver = drivers.get(volume.driver);
    const capabilities = await driver.capabilities(signal);
    if (!capabilities.expand) {
      throw new TripodError("unimplemented", `NodeExpand is not supported by the CSI driver ${volume.driver}`);
    }
    const requiredBytes = BigInt(bytesOf(newSize) ?? 0);
    const { capacityBytes } = await driver.node.nodeExpandVolume(
      {
        volumeId: volume.handle,
        volumePath: targetPath,
        stagingTargetPath: stagingPath,
        capacityRange: { requiredBytes },
        volumeCapability: volumeCapability(volume, capabilities, undefined),
        secrets: await secretsOf(objects, volume.expandSecret),
      },
      { signal, timeoutMs: callTimeoutMs },
    );
    if (capacityBytes > 0n && capacityBytes < requiredBytes) {
      const fields = { driver: volume.driver, volume: volume.handle, requiredBytes, capacityBytes };
      log.warn(fields, "the driver says that it has grown a volume, and names a size below the one asked for");
    }
  }

  async #noteFailure({ claim, held }: Work, error: unknown): Promise<void> {
    if (!saidBy(error) || saidBy(error, ...passing)) return;
    // Somebody wants another size by now, and this one has failed before: the controller is to think again.
    const overtaken =
      held.failed && claim.spec?.resources?.requests?.["storage"] !== claim.status?.allocatedResources?.["storage"];
    held.failed = true;
    const options = { infeasible: saidBy(error, ...infeasible) || overtaken, nowMs: Date.now() };
    await this.#context.objects.patchClaimStatus(claim, (now) => growthFailed(now, messageOf(error), options));
  }
}

/**
 * What is to be done about a volume that a stand-in may have made just now, with the size that its PersistentVolume had when that was read:
 * it can have grown before the driver was called, when there was nothing yet for the controller to grow. Pure.
 */
function grownBeforeMade(volume: CsiVolume, pv: PersistentVolume, grownBytes: number): Growth | undefined {
  const newSize = pv.spec?.capacity?.["storage"];
  const told = volume.attributes[staticSizeKey(volume.driver)];
  if (told === undefined || Math.max(Number(told), grownBytes) >= (bytesOf(newSize) ?? 0)) return undefined;
  return { kind: "expand", newSize: String(newSize), recorded: true };
}

interface Work {
  readonly claim: PersistentVolumeClaim;
  readonly plan: Growth & { readonly kind: "expand" };
  readonly held: Held;
}
