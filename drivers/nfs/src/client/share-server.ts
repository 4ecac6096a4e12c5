import { writeSync } from "node:fs";
import { codeOf, messageOf, silentLogger } from "@tripod/base";
import { mountLiveFuse } from "@tripod/linux";
import { NfsFiles } from "./nfs-files.ts";
import { NfsSession } from "./nfs-session.ts";
import type { ServeShareAnswer, ServeShareRequest } from "./share-server-message.ts";

// The entry of a process that is the NFS client of one mount, where the kernel is none (start-share-server.ts). It outlives whoever started it, and
// ends when its file system is mounted nowhere any more.

const parts: Buffer[] = [];
for await (const part of process.stdin as AsyncIterable<Buffer>) parts.push(part); // no encoding: Buffers
const request = JSON.parse(Buffer.concat(parts).toString()) as ServeShareRequest; // our own process wrote it

const tell = (answer: ServeShareAnswer): void => void writeSync(1, `${JSON.stringify(answer)}\n`);

try {
  const { host, port, path, patienceMs, firstPatienceMs, ...mount } = request;
  // Who mounts waits for a while, who uses it later as long as he was told.
  const giveUp = setTimeout(() => {
    tell({ ready: false, code: "unavailable", message: `mount ${host}:${path}: the server gives no answer` });
    process.exit(1);
  }, firstPatienceMs);
  await using session = new NfsSession({ host, port, ...(patienceMs !== undefined && { patienceMs }) });
  const files = await NfsFiles.open(session, path);
  clearTimeout(giveUp);
  using mounted = mountLiveFuse(files, { ...mount, subtype: "tripod-nfs", log: silentLogger });
  tell({ ready: true });
  await mounted.ended;
} catch (error) {
  tell({ ready: false, code: codeOf(error), message: messageOf(error) });
  process.exitCode = 1;
}
process.exit();
