export { AsyncQueue } from "./async-queue.ts";
export { Backoff, type BackoffOptions } from "./backoff.ts";
export { codeOf, type ErrorCode, isTripodError, messageOf, TripodError, type TripodErrorOptions } from "./error.ts";
export { failpoint } from "./failpoint.ts";
export { isNodeError } from "./is-node-error.ts";
export { KeyedMutex } from "./keyed-mutex.ts";
export { type Layout, layoutOf } from "./layout.ts";
export { Limiter } from "./limiter.ts";
export {
  createLogger,
  type LevelledLogger,
  type LogLevel,
  type Logger,
  type LoggerOptions,
} from "./logger.ts";
export { randomHex } from "./random-hex.ts";
export { Records, type RecordsOptions, type RecordTable } from "./records.ts";
export { type CommandResult, runCommand, type RunCommandOptions } from "./run-command.ts";
export { silentLogger } from "./silent-logger.ts";
export { TaskOwner } from "./task-owner.ts";
export { writeFileAtomic, writeFileAtomicSync, type WriteFileOptions } from "./write-file.ts";
