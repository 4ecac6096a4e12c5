import { TripodError } from "@tripod/base";

/** ADD found the interface there: it is an earlier ADD's, or another's, and stays. After any other failure ADD takes back what it made. */
export class AttachmentTaken extends TripodError {
  constructor(message: string, cause?: unknown) {
    super("already-exists", `${message}; DEL the attachment first`, { cause });
  }
}
