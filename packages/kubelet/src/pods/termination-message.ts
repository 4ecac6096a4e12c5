import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { isNodeError } from "@tripod/base";
import type { ContainerActual } from "../cri/pod-actual.ts";
import { terminationMessagePathAnnotation, terminationMessagePolicyAnnotation } from "../cri/pod-labels.ts";

const maxMessageBytes = 4096;
const maxLogBytes = 2048;
const maxLogLines = 80;

/** The last bytes of a file; "" when it does not exist or is no plain file. */
async function tail(path: string, bytes: number): Promise<string> {
  try {
    // A container can have its own named pipe mounted there, and opening that would wait for a writer for ever.
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const found = await file.stat();
    if (!found.isFile()) return "";
    const { size } = found;
    const length = Math.min(size, bytes);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, size - length);
    return buffer.subarray(0, bytesRead).toString("utf8");
  } catch (error) {
    if (isNodeError(error, "ENOENT", "ENXIO")) return ""; // ENXIO: a socket
    throw error;
  }
}

/** What a container logged, out of the last lines of a CRI log. */
export function messageOfLog(text: string): string {
  const lines = text.split("\n").flatMap((line) => {
    const match = /^\S+ std(?:out|err) ([PF])\S* (.*)$/.exec(line);
    return match === null ? [] : [`${match[2]}${match[1] === "F" ? "\n" : ""}`];
  });
  return lines.slice(-maxLogLines).join("").slice(-maxLogBytes);
}

/** A dead container's last words: what it wrote to its message file or, where asked for, the end of its log after an error. */
export async function readTerminationMessage(container: ContainerActual, logFolder: string): Promise<string> {
  const inside = container.annotations[terminationMessagePathAnnotation] ?? "";
  const file = container.mounts.get(inside);
  const message = file === undefined ? "" : await tail(file, maxMessageBytes);
  if (message !== "" || container.exitCode === 0) return message;
  if (container.annotations[terminationMessagePolicyAnnotation] !== "FallbackToLogsOnError") return "";
  if (container.logPath === "") return "";
  const log = isAbsolute(container.logPath) ? container.logPath : join(logFolder, container.logPath);
  return messageOfLog(await tail(log, 4 * maxMessageBytes));
}
