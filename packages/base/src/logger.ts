import { type Logger as PinoInstance, pino } from "pino";

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
  readonly level?: LogLevel;
  /** A file to append to, for its owner alone; stderr unless told. */
  readonly file?: string;
}

/** pino's numbers. */
const levels = { debug: 20, info: 30, warn: 40, error: 50, silent: Number.POSITIVE_INFINITY } as const;

export type LogLevel = keyof typeof levels;

/** A logger whose level, and that of all its children, can be changed while it is in use. */
export interface LevelledLogger extends Logger {
  setLevel(level: LogLevel): void;
}

class PinoLogger implements LevelledLogger {
  readonly #pino: PinoInstance;
  /** Shared by a logger and its children. */
  readonly #gate: { level: number };

  constructor(instance: PinoInstance, gate: { level: number }) {
    this.#pino = instance;
    this.#gate = gate;
  }

  debug(fields: object, message: string): void {
    if (this.#gate.level <= levels.debug) this.#pino.debug(fields, message);
  }

  info(fields: object, message: string): void {
    if (this.#gate.level <= levels.info) this.#pino.info(fields, message);
  }

  warn(fields: object, message: string): void {
    if (this.#gate.level <= levels.warn) this.#pino.warn(fields, message);
  }

  error(fields: object, message: string): void {
    if (this.#gate.level <= levels.error) this.#pino.error(fields, message);
  }

  child(fields: object): Logger {
    return new PinoLogger(this.#pino.child(fields), this.#gate);
  }

  setLevel(level: LogLevel): void {
    this.#gate.level = levels[level];
  }
}

/** JSON lines with time, level and `name`. */
export function createLogger(name: string, options: LoggerOptions = {}): LevelledLogger {
  const destination =
    options.file === undefined
      ? pino.destination(2)
      : pino.destination({ dest: options.file, mkdir: true, sync: false, mode: 0o600 });
  return new PinoLogger(pino({ name, level: "debug" }, destination), { level: levels[options.level ?? "info"] });
}
