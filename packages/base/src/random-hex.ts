import { randomBytes } from "node:crypto";

/** `bytes` random bytes as lower-case hex; 32 gives a container id, 64 digits. */
export const randomHex = (bytes: number): string => randomBytes(bytes).toString("hex");
