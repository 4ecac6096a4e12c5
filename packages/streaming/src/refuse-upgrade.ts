import { STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";

/** Answers an upgrade request with an error of one line, and closes. */
export function refuseUpgrade(
  socket: Duplex,
  statusCode: number,
  text: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  const body = Buffer.from(text);
  const lines = Object.entries({
    "content-type": "text/plain; charset=utf-8",
    "content-length": String(body.length),
    connection: "close",
    ...headers,
  }).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(
    Buffer.concat([
      Buffer.from(`HTTP/1.1 ${statusCode} ${STATUS_CODES[statusCode] ?? "Error"}\r\n${lines.join("")}\r\n`),
      body,
    ]),
  );
  socket.resume(); // unread input would turn the close into a reset, and the answer would be lost
}
