import { TripodError } from "@tripod/base";
import type { LocalContext } from "./local-context.ts";
import { storedVolume, type VolumeRecord } from "./local-records.ts";

/** Makes a volume at least so large, as far as its users need not be told. The caller holds the volume's lock. */
export async function growVolume(
  { records, storage }: LocalContext,
  volumeId: string,
  requiredBytes: bigint,
): Promise<VolumeRecord> {
  const record = records.volume(volumeId);
  const size = BigInt(record.capacityBytes);
  if (requiredBytes <= size) return record;
  const { availableBytes } = await storage.space();
  if (requiredBytes - size > availableBytes)
    throw new TripodError(
      "out-of-range",
      `expand volume ${volumeId} from ${size} to ${requiredBytes} bytes: the disk has ${availableBytes} bytes left; ask for less`,
    );
  const grown: VolumeRecord = { ...record, capacityBytes: String(requiredBytes) };
  await storage.grow(storedVolume(volumeId, grown));
  records.volumes.put(volumeId, grown);
  return grown;
}
