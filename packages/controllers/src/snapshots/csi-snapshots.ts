import { ControllerServiceCapability_RPC_Type as Rpc, type Snapshot } from "@tripod/api/csi";
import { TripodError } from "@tripod/base";
import { callOptions } from "../csi/call-options.ts";
import type { CsiDriver } from "../csi/csi-drivers.ts";

type Secrets = Readonly<Record<string, string>>;

/** Throws unless a driver's answer is a snapshot. */
export function answered(driver: CsiDriver, snapshot: Snapshot | undefined): Snapshot {
  if (snapshot === undefined || snapshot.snapshotId === "")
    throw new TripodError("corrupt", `driver ${driver.name} answered without a snapshot`);
  return snapshot;
}

export async function takeSnapshot(
  driver: CsiDriver,
  request: { name: string; sourceVolumeId: string; parameters: Record<string, string>; secrets: Secrets },
  signal: AbortSignal,
): Promise<Snapshot> {
  if (!driver.rpcs.has(Rpc.CREATE_DELETE_SNAPSHOT))
    throw new TripodError("unimplemented", `driver ${driver.name} cannot take snapshots`);
  const { secrets, ...rest } = request;
  const reply = await driver.controller.createSnapshot({ ...rest, secrets: { ...secrets } }, callOptions(signal));
  return answered(driver, reply.snapshot);
}

/** How a driver can be asked after a snapshot that it has; undefined for one that cannot. */
export function snapshotReader(
  driver: CsiDriver,
): ((snapshotId: string, secrets: Secrets, signal: AbortSignal) => Promise<Snapshot>) | undefined {
  if (driver.rpcs.has(Rpc.GET_SNAPSHOT))
    return async (snapshotId, secrets, signal) => {
      const reply = await driver.controller.getSnapshot({ snapshotId, secrets: { ...secrets } }, callOptions(signal));
      return answered(driver, reply.snapshot);
    };
  if (!driver.rpcs.has(Rpc.LIST_SNAPSHOTS)) return undefined;
  return async (snapshotId, secrets, signal) => {
    const reply = await driver.controller.listSnapshots({ snapshotId, secrets: { ...secrets } }, callOptions(signal));
    const [entry] = reply.entries;
    if (entry === undefined)
      throw new TripodError("not-found", `driver ${driver.name} knows no snapshot ${snapshotId}`);
    return answered(driver, entry.snapshot);
  };
}

interface Moment {
  readonly seconds: bigint;
  readonly nanos: number;
}

/** The last second that 64 bits of nanoseconds hold. */
const lastSecond = 9_223_372_035n;

/** When a driver says that it took a snapshot, in nanoseconds since 1970; now where it does not say, or what can be no time. */
export function takenAtNs({ creationTime }: { readonly creationTime?: Moment | undefined }): number {
  const { seconds = 0n, nanos = 0 } = creationTime ?? {};
  return seconds > 0n && seconds <= lastSecond ? Number(seconds) * 1e9 + nanos : Date.now() * 1e6;
}

/** How large a volume a driver says that it makes of a snapshot, in bytes; nothing where it does not say, or more than a number holds. */
export const restoreSizeOf = ({ sizeBytes }: Pick<Snapshot, "sizeBytes">): { readonly restoreSize?: number } =>
  sizeBytes > 0n && sizeBytes <= Number.MAX_SAFE_INTEGER ? { restoreSize: Number(sizeBytes) } : {};
