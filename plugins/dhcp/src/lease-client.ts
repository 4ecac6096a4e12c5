import { connect, type Socket } from "node:net";
import { isNodeError, messageOf } from "@tripod/base";
import { CniError, cniCodes } from "@tripod/cni/sdk";
import { type Answer, maxLineBytes, parseLine, type Question, tooLong } from "./lease-protocol.ts";
import type { LeaseTerms } from "./lease-terms.ts";

/** A connection to the socket; rejects with Node's own error. */
export function connectTo(socketPath: string): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const socket = connect(socketPath, () => {
    socket.off("error", reject);
    resolve(socket);
  });
  socket.once("error", reject);
  return promise;
}

/** Of an error of connectTo(): nobody listens there. */
export const isAbsent = (error: unknown): boolean => isNodeError(error, "ENOENT") || isNodeError(error, "ECONNREFUSED");

async function reach(socketPath: string): Promise<Socket> {
  try {
    return await connectTo(socketPath);
  } catch (cause) {
    const why = isAbsent(cause) ? "nobody listens there; start one: /opt/cni/bin/dhcp daemon" : messageOf(cause);
    throw new CniError(cniCodes.pluginNotAvailable, `DHCP daemon on ${socketPath}: ${why}`, { cause });
  }
}

function readLine(socket: Socket, signal: AbortSignal): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let text = "";
  const aborted = (): void => reject(signal.reason);
  socket.setEncoding("utf8");
  socket.on("data", (chunk: string) => {
    text += chunk;
    if (text.length > maxLineBytes) reject(tooLong());
  });
  socket.on("error", reject);
  socket.on("end", () => resolve(text));
  signal.addEventListener("abort", aborted);
  return promise.finally(() => signal.removeEventListener("abort", aborted));
}

/** Asks the daemon. Throws its own errors; CNI code 50 when there is none, code 11 when it ended in the middle. */
export async function askDaemon(
  socketPath: string,
  question: Question,
  signal: AbortSignal,
): Promise<LeaseTerms | undefined> {
  const socket = await reach(socketPath);
  try {
    signal.throwIfAborted();
    const line = readLine(socket, signal);
    socket.write(`${JSON.stringify(question)}\n`);
    const text = await line;
    if (text === "")
      throw new CniError(cniCodes.tryAgainLater, `DHCP daemon on ${socketPath}: it ended before it answered`);
    const answer = parseLine(text) as Answer | undefined; // what answers in JSON there is our own
    if (answer === undefined)
      throw new CniError(
        cniCodes.pluginNotAvailable,
        `DHCP daemon on ${socketPath}: it is none of Tripod's, and its plugin is another, too; it says: ${text.slice(0, 80)}`,
      );
    if ("error" in answer) throw new CniError(answer.error.cniCode, answer.error.message);
    return answer.terms;
  } finally {
    socket.destroy();
  }
}
