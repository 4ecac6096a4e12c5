import { open } from "node:fs/promises";
import { isTripodError, runCommand, TripodError } from "@tripod/base";

export type FsType = "ext4" | "xfs" | "btrfs";

const mebibyte = 1024n * 1024n;

interface FileSystem {
  /** The least that its mkfs takes. */
  readonly leastBytes: bigint;
  readonly make: (image: string) => readonly [program: string, ...args: string[]];
  /** The Debian package with its programs. */
  readonly package: string;
  /** Where its magic number is, and what that is. */
  readonly magic: readonly [offset: number, bytes: Buffer];
  /** Options that it is mounted with. */
  readonly options: readonly string[];
}

/** Kept small: what the disk has to write for an empty file system is what a Pod waits for. */
export const fileSystems: Readonly<Record<FsType, FileSystem>> = {
  ext4: {
    leastBytes: 4n * mebibyte,
    make: (image) => [
      "mkfs.ext4",
      "-q",
      "-F",
      "-m",
      "0",
      "-E",
      "lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0",
      image,
    ],
    package: "e2fsprogs",
    magic: [1080, Buffer.from([0x53, 0xef])],
    options: ["discard"],
  },
  xfs: {
    leastBytes: 300n * mebibyte,
    make: (image) => ["mkfs.xfs", "-q", "-f", "-K", image],
    package: "xfsprogs",
    magic: [0, Buffer.from("XFSB")],
    // A clone has the uuid of its source.
    options: ["discard", "nouuid"],
  },
  btrfs: {
    // Smaller ones cannot grow.
    leastBytes: 256n * mebibyte,
    make: (image) => ["mkfs.btrfs", "-q", "-f", "-K", image],
    package: "btrfs-progs",
    magic: [65_600, Buffer.from("_BHRfS_M")],
    options: ["discard"],
  },
};

export const isFsType = (name: string): name is FsType => Object.hasOwn(fileSystems, name);

/** Makes an empty file system in an image. */
export async function makeFileSystem(image: string, type: FsType): Promise<void> {
  const [program, ...args] = fileSystems[type].make(image);
  await runTool(program, args, type);
}

/** Runs a program of a file system's tools; one that is missing is an error that names its package. */
export async function runTool(
  program: string,
  args: readonly string[],
  type: FsType,
  okExitCodes: readonly number[] = [0],
): Promise<void> {
  try {
    // 10 minutes: checking a large file system takes its time.
    await runCommand(program, args, { okExitCodes, timeoutMs: 600_000, env: { ...process.env, LC_ALL: "C" } });
  } catch (cause) {
    if (isTripodError(cause, "not-found"))
      throw new TripodError(
        "failed-precondition",
        `${type}: there is no ${program}; install ${fileSystems[type].package}`,
        {
          cause,
        },
      );
    if (isTripodError(cause, "internal") && cause.message.includes("No space left on device"))
      throw new TripodError("exhausted", `${program}: no space left on device`, { cause });
    throw cause;
  }
}

/** What an image holds: a file system, nothing at all, or something else that must not be overwritten. */
export async function contentOf(image: string): Promise<FsType | "nothing" | "unknown"> {
  const file = await open(image, "r");
  try {
    const head = Buffer.alloc(128 * 1024);
    const { bytesRead } = await file.read(head, 0, head.length, 0);
    for (const [type, { magic }] of Object.entries(fileSystems))
      if (isFsType(type) && head.subarray(magic[0], magic[0] + magic[1].length).equals(magic[1])) return type;
    return head.subarray(0, bytesRead).every((byte) => byte === 0) ? "nothing" : "unknown";
  } finally {
    await file.close();
  }
}
