import { createHash } from "node:crypto";
import { readFileSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { type Layout, TripodError, writeFileAtomicSync } from "@tripod/base";

const pidFile = (layout: Layout): string => join(layout.runDir, "tripod.pid");

// A name in the kernel's abstract socket space: it is free again the instant its process dies, however that dies.
const lockName = (layout: Layout): string =>
  `\0tripod-${createHash("sha256").update(layout.libDir).digest("hex").slice(0, 32)}`;

function listen(name: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once("listening", () => resolve(server.unref()));
    server.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EADDRINUSE") resolve(undefined);
      else reject(error);
    });
    server.listen(name);
  });
}

/** The process id of the daemon that runs on this layout; undefined when none does. */
export async function runningDaemon(layout: Layout): Promise<number | undefined> {
  const probe = await listen(lockName(layout));
  if (probe !== undefined) {
    await new Promise((resolve) => probe.close(resolve));
    return undefined;
  }
  return Number(readFileSync(pidFile(layout), "utf8"));
}

/** Makes this process the one daemon of the layout until it is disposed or dies; a second one is an "already-exists" error. */
export async function lockInstance(layout: Layout): Promise<Disposable> {
  const server = await listen(lockName(layout));
  if (server === undefined) {
    const pid = readFileSync(pidFile(layout), "utf8");
    throw new TripodError(
      "already-exists",
      `another tripod (process ${pid}) runs on ${layout.root ?? layout.libDir}; stop it, or choose another --root`,
    );
  }
  writeFileAtomicSync(pidFile(layout), String(process.pid));
  return {
    [Symbol.dispose]() {
      rmSync(pidFile(layout), { force: true });
      server.close();
    },
  };
}
