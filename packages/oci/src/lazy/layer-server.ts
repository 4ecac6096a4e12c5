import { writeSync } from "node:fs";
import { codeOf, messageOf } from "@tripod/base";
import type { ServeAnswer, ServeRequest } from "./server-message.ts";
import { serveLayers } from "./serve-layers.ts";

// The entry of a process that serves layers of one image while they come in (start-layer-server.ts). It outlives whoever started it.

async function readRequest(): Promise<ServeRequest> {
  const parts: Buffer[] = [];
  for await (const part of process.stdin as AsyncIterable<Buffer>) parts.push(part); // no encoding: Buffers
  return JSON.parse(Buffer.concat(parts).toString()) as ServeRequest; // our own process wrote it
}

/** Fails when nobody reads any more. */
const tell = (answer: ServeAnswer): void => void writeSync(1, `${JSON.stringify(answer)}\n`);

try {
  await serveLayers(await readRequest(), () => tell({ ready: true, pid: process.pid }));
  process.exit(0);
} catch (error) {
  try {
    tell({ ready: false, code: codeOf(error), message: messageOf(error) });
  } catch {
    // Who asked is gone.
  }
  process.exit(1);
}
