import { open } from "node:fs/promises";
import { runTool } from "@tripod/csi/file-systems";

/** Offsets in the superblock (Documentation/filesystems/ext4/super.rst), which is 1 KiB from the start. */
const superblock = 1024;
const blocksLow = 0x4;
const logBlockSize = 0x18;
const state = 0x3a;
const incompatible = 0x60;
const blocksHigh = 0x150;
const stateClean = 1;
const stateErrors = 2;
const needsRecovery = 0x4;

interface Ext4State {
  readonly bytes: bigint;
  /** It was unmounted in order, and no error was found since the last check. */
  readonly isClean: boolean;
}

async function stateOf(image: string): Promise<Ext4State> {
  const file = await open(image, "r");
  try {
    const head = Buffer.alloc(1024);
    await file.read(head, 0, head.length, superblock);
    const blocks = BigInt(head.readUInt32LE(blocksLow)) | (BigInt(head.readUInt32LE(blocksHigh)) << 32n);
    const flags = head.readUInt16LE(state);
    return {
      bytes: blocks << BigInt(10 + head.readUInt32LE(logBlockSize)),
      isClean:
        (flags & stateClean) !== 0 &&
        (flags & stateErrors) === 0 &&
        (head.readUInt32LE(incompatible) & needsRecovery) === 0,
    };
  } finally {
    await file.close();
  }
}

/** The size of the file system in an image that is not mounted, or was not grown since. */
export const ext4Bytes = async (image: string): Promise<bigint> => (await stateOf(image)).bytes;

/** e2fsck's exit codes: 0 nothing found, 1 errors corrected. */
const corrected = [0, 1];

/** Repairs the file system of an image that is not in use, where it was left in disorder, and makes it as large as the image. */
export async function readyExt4(image: string, imageBytes: bigint): Promise<void> {
  const { bytes, isClean } = await stateOf(image);
  const block = 4096n;
  const tooSmall = bytes + block <= imageBytes;
  // The forced check is what resize2fs asks for.
  if (!isClean || tooSmall) await runTool("e2fsck", [tooSmall ? "-fp" : "-p", image], "ext4", corrected);
  if (tooSmall) await runTool("resize2fs", ["-f", image], "ext4");
}
