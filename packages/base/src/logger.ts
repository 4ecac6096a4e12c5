import { pino } from "pino";

/** A constant message with fields; never a secret. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  /** A logger that adds `fields` to every line. */
  child(fields: object): Logger;
}

export interface LoggerOptions {
  /** "info" unless told. */
  readonly level?: "debug" | "info" | "warn" | "error" | "silent";
  /** A file to append to; stderr unless told. */
  readonly file?: string;
}

/** JSON lines with time, level and `name`. */
export function createLogger(name: string, options: LoggerOptions = {}): Logger {
  const destination =
    options.file === undefined
      ? pino.destination(2)
      : pino.destination({ dest: options.file, mkdir: true, sync: false });
  return pino({ name, level: options.level ?? "info" }, destination);
}

/** Drops everything; for tests and short commands. */
export const silentLogger: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLogger,
};
