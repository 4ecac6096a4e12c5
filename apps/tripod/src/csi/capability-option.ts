import type { MessageInitShape } from "@bufbuild/protobuf";
import { VolumeCapability_AccessMode_Mode as Mode, type VolumeCapabilitySchema } from "@tripod/api/csi";
import { TripodError } from "@tripod/base";

/** Access modes by Kubernetes' names; CSI's own are known too. */
const modes: Readonly<Record<string, Mode>> = {
  ReadWriteOnce: Mode.SINGLE_NODE_WRITER,
  ReadWriteOncePod: Mode.SINGLE_NODE_SINGLE_WRITER,
  ReadOnlyMany: Mode.MULTI_NODE_READER_ONLY,
  ReadWriteMany: Mode.MULTI_NODE_MULTI_WRITER,
  RWO: Mode.SINGLE_NODE_WRITER,
  RWOP: Mode.SINGLE_NODE_SINGLE_WRITER,
  ROX: Mode.MULTI_NODE_READER_ONLY,
  RWX: Mode.MULTI_NODE_MULTI_WRITER,
  SINGLE_NODE_WRITER: Mode.SINGLE_NODE_WRITER,
  SINGLE_NODE_READER_ONLY: Mode.SINGLE_NODE_READER_ONLY,
  MULTI_NODE_READER_ONLY: Mode.MULTI_NODE_READER_ONLY,
  MULTI_NODE_SINGLE_WRITER: Mode.MULTI_NODE_SINGLE_WRITER,
  MULTI_NODE_MULTI_WRITER: Mode.MULTI_NODE_MULTI_WRITER,
  SINGLE_NODE_SINGLE_WRITER: Mode.SINGLE_NODE_SINGLE_WRITER,
  SINGLE_NODE_MULTI_WRITER: Mode.SINGLE_NODE_MULTI_WRITER,
};

type Capability = MessageInitShape<typeof VolumeCapabilitySchema>;

/** "ReadWriteOnce", "ReadWriteOnce,mount,ext4", "RWO,mount,xfs,noatime", "RWO,block": the mode, the kind of access, file system and mount flags. */
export function parseCapability(text: string): Capability {
  const [modeName = "", kind = "mount", fsType = "", ...mountFlags] = text.split(",");
  const mode = Object.hasOwn(modes, modeName) ? modes[modeName] : undefined;
  if (mode === undefined)
    throw new TripodError(
      "invalid",
      `capability ${text}: access mode ${JSON.stringify(modeName)} is none of ${Object.keys(modes).join(", ")}`,
    );
  const accessMode = { mode };
  if (kind === "mount") return { accessMode, accessType: { case: "mount", value: { fsType, mountFlags } } };
  if (kind !== "block")
    throw new TripodError("invalid", `capability ${text}: ${JSON.stringify(kind)} is neither mount nor block`);
  if (fsType !== "") throw new TripodError("invalid", `capability ${text}: a block device has no file system`);
  return { accessMode, accessType: { case: "block", value: {} } };
}

export const capabilityHelp = "MODE[,mount[,FSTYPE[,FLAG…]]|,block], as ReadWriteOnce,mount,ext4 or RWO,block";

/** For --cap, which may be given several times. */
export const capabilities = (text: string, before: Capability[] = []): Capability[] => [
  ...before,
  parseCapability(text),
];

export const defaultCapabilities = (given: readonly Capability[] | undefined): Capability[] =>
  given === undefined ? [parseCapability("ReadWriteOnce")] : [...given];
