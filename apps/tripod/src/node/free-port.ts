import { mkdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { type Layout, TripodError, writeFileAtomicSync } from "@tripod/base";

/** Whether `port` of 127.0.0.1 can be bound now; 0 finds a free one. Resolves with the port, or undefined when it is taken. */
export function probePort(port: number): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EADDRINUSE" || error.code === "EACCES") resolve(undefined);
      else reject(error);
    });
    server.listen(port, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" ? address?.port : undefined));
    });
  });
}

export interface PortChoice {
  /** The port that the user asked for; a taken one is an error. */
  readonly wanted: number | undefined;
  /** The port to try first on a fresh instance. */
  readonly preferred: number;
  /** Where the choice is kept, so that addresses handed out before a restart stay true. */
  readonly file: string;
  /** What listens there, for the error. */
  readonly what: string;
  /** How to choose another, for the error. */
  readonly remedy: string;
}

/** Chooses the port: the one asked for, else the one of last time, else the preferred one, else any free one. */
export async function choosePort(choice: PortChoice): Promise<number> {
  const kept = readKept(choice.file);
  const fixed = choice.wanted !== undefined && choice.wanted !== 0 ? choice.wanted : kept;
  if (fixed !== undefined) {
    if ((await probePort(fixed)) === undefined) {
      throw new TripodError(
        "already-exists",
        `listen on 127.0.0.1:${fixed} for the ${choice.what}: the port is taken; end what holds it, or ${choice.remedy}`,
      );
    }
    return keep(choice.file, fixed);
  }
  const found = (choice.wanted === 0 ? undefined : await probePort(choice.preferred)) ?? (await probePort(0));
  if (found === undefined)
    throw new TripodError("exhausted", `listen for the ${choice.what}: no port of 127.0.0.1 is free`);
  return keep(choice.file, found);
}

function readKept(file: string): number | undefined {
  try {
    return Number(readFileSync(file, "utf8"));
  } catch {
    return undefined; // a fresh instance
  }
}

function keep(file: string, port: number): number {
  mkdirSync(dirname(file), { recursive: true });
  writeFileAtomicSync(file, String(port));
  return port;
}

/** The API server's port on this instance: the one asked for, else the one of last time, else 6443, else any free one. */
export const chooseApiserverPort = (layout: Layout, wanted: number | undefined): Promise<number> =>
  choosePort({
    wanted,
    preferred: 6443,
    file: join(layout.libDir, "apiserver-port"),
    what: "API server",
    remedy: "choose another with --port",
  });
