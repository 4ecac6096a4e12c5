import type { Logger } from "./logger.ts";

/** Drops everything; for tests and short commands. */
export const silentLogger: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLogger,
};
