import { closeSync, constants, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { TripodError } from "@tripod/base";
import type { TerminalSize } from "../low-level-runtime.ts";

/** Writes one line to the supervisor's control fifo; a supervisor that is gone is a "failed-precondition" error. */
export function control(bundle: string, line: string): void {
  const path = join(bundle, "ctl");
  let fd: number;
  try {
    fd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch (cause) {
    throw new TripodError("failed-precondition", `reach the supervisor through ${path}: it is not running`, { cause });
  }
  try {
    writeSync(fd, line);
  } finally {
    closeSync(fd);
  }
}

/** conmon's message type 1: the window size (height, width). */
export const resizeTerminal = (bundle: string, { height, width }: TerminalSize): void =>
  control(bundle, `1 ${height} ${width}\n`);
