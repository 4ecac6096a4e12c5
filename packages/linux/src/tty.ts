import { closeSync, constants, openSync } from "node:fs";
import { libc } from "./libc.ts";
import { check } from "./system-call-error.ts";

const TIOCSWINSZ = 0x5414;
const TIOCGPTN = 0x80045430;
const TIOCSPTLCK = 0x40045431;

/** A pseudo-terminal pair; both descriptors belong to the caller. */
export interface TerminalPair {
  readonly master: number;
  readonly slave: number;
}

/** Opens a new pseudo-terminal (pts(4)); neither end becomes the controlling terminal of this process. */
export function openTerminal(): TerminalPair {
  const flags = constants.O_RDWR | constants.O_NOCTTY;
  const master = openSync("/dev/ptmx", flags);
  try {
    check("ioctl TIOCSPTLCK", "/dev/ptmx", libc.ioctl(master, TIOCSPTLCK, Buffer.alloc(4)));
    const number = Buffer.alloc(4);
    check("ioctl TIOCGPTN", "/dev/ptmx", libc.ioctl(master, TIOCGPTN, number));
    return { master, slave: openSync(`/dev/pts/${number.readUInt32LE()}`, flags) };
  } catch (error) {
    closeSync(master);
    throw error;
  }
}

/** Tells the terminal its size in character cells; its foreground process group gets SIGWINCH. */
export function setTerminalSize(fd: number, size: { readonly width: number; readonly height: number }): void {
  const winsize = Buffer.alloc(8);
  winsize.writeUInt16LE(Math.min(size.height, 0xffff), 0);
  winsize.writeUInt16LE(Math.min(size.width, 0xffff), 2);
  check("ioctl TIOCSWINSZ", `descriptor ${fd}`, libc.ioctl(fd, TIOCSWINSZ, winsize));
}
