import { writeSync } from "node:fs";
import type { Logger } from "@tripod/base";

/** A line of JSON a message on standard error, in the form of Tripod's other logs. The plugins' program carries no logging library. */
export function lineLogger(bound: object = {}): Logger {
  const write =
    (level: number) =>
    (fields: object, msg: string): void => {
      const time = Date.now();
      writeSync(2, `${JSON.stringify({ level, time, pid: process.pid, name: "dhcp", ...bound, ...fields, msg })}\n`);
    };
  return {
    debug() {},
    info: write(30),
    warn: write(40),
    error: write(50),
    child: (fields) => lineLogger({ ...bound, ...fields }),
  };
}
