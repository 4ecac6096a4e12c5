import { TripodError } from "@tripod/base";

/** The reasons for which a container waits, in upstream's words. */
export type StartErrorReason =
  | "ErrImagePull"
  | "RegistryUnavailable"
  | "SignatureValidationFailed"
  | "ImagePullBackOff"
  | "InvalidImageName"
  | "ErrImageNeverPull"
  | "ImageInspectError"
  | "CreateContainerConfigError"
  | "CreateContainerError"
  | "RunContainerError"
  | "PostStartHookError";

/** A container could not be started; the reason and the message go into the Pod's status. */
export class StartError extends TripodError {
  readonly reason: StartErrorReason;
  /** When the next attempt is due in Unix ms; undefined leaves it to the worker. */
  readonly retryAtMs: number | undefined;

  constructor(reason: StartErrorReason, message: string, options: { cause?: unknown; retryAtMs?: number } = {}) {
    super("failed-precondition", message, options.cause === undefined ? {} : { cause: options.cause });
    this.name = "StartError";
    this.reason = reason;
    this.retryAtMs = options.retryAtMs;
  }
}
