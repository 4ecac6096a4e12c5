import { closeSync, constants, existsSync, openSync, rmSync } from "node:fs";
import { join } from "node:path";
import { TripodError } from "@tripod/base";
import { mount, MS, O_PATH } from "@tripod/linux";

export interface OverlayMountOptions {
  /** Topmost first; at least one, without `writable` at least two. */
  readonly lower: readonly string[];
  /** Read-only, nosuid and nodev without it. */
  readonly writable?: {
    readonly upper: string;
    readonly work: string;
    /** There may be no room for what is written, and who writes is to be told. The kernel's overlayfs tells always. */
    readonly writeThrough?: boolean;
  };
  readonly target: string;
}

/** mount(2) takes one page of options, its NUL included. */
const maxOptionBytes = 4095;

// Where the kernel has the option, turning it off allows the same lower folders below many mounts without complaints.
const indexOff = existsSync("/sys/module/overlay/parameters/index") ? ",index=off" : "";

const optionsOf = (lower: readonly string[], writable: OverlayMountOptions["writable"]): string => {
  const layers = `lowerdir=${lower.join(":")}`;
  if (writable === undefined) return layers;
  return `${layers},upperdir=${writable.upper},workdir=${writable.work},volatile${indexOff}`;
};

/** Where the kernel notes that a volatile overlay has been mounted with this work folder; it refuses a second mount until that is removed. */
const volatileMark = (work: string): string => join(work, "work", "incompat");

/**
 * Mounts an overlay, volatile (Linux 5.10): nothing in it is flushed to the disk. Without that, unmounting waits until all that anybody
 * has written to the file system below is on the disk. No container outlives the power cut after which it would matter. Paths that are too long together, or have characters in them which separate options, are handed to the kernel
 * as descriptors under /proc/self/fd: short, and resolved once, at mount time.
 */
export function mountOverlay({ lower, writable, target }: OverlayMountOptions): void {
  if (writable !== undefined) rmSync(volatileMark(writable.work), { recursive: true, force: true });
  const flags = writable === undefined ? MS.RDONLY | MS.NOSUID | MS.NODEV : 0;
  const plain = optionsOf(lower, writable);
  const paths = [...lower, writable?.upper ?? "", writable?.work ?? ""];
  if (Buffer.byteLength(plain) <= maxOptionBytes && !paths.some((path) => /[,:\\]/.test(path))) {
    mount({ source: "overlay", target, type: "overlay", flags, data: plain });
    return;
  }
  const open: number[] = [];
  const short = (path: string): string => {
    const fd = openSync(path, O_PATH | constants.O_DIRECTORY);
    open.push(fd);
    return `/proc/self/fd/${fd}`;
  };
  try {
    const data = optionsOf(lower.map(short), writable && { upper: short(writable.upper), work: short(writable.work) });
    if (data.length > maxOptionBytes) {
      throw new TripodError(
        "invalid",
        `mount ${target}: ${lower.length} layers are more than overlayfs takes; build the image with fewer`,
      );
    }
    mount({ source: "overlay", target, type: "overlay", flags, data });
  } finally {
    for (const fd of open) closeSync(fd);
  }
}
