import { mkdirSync } from "node:fs";
import { hostname, networkInterfaces } from "node:os";
import { type Layout, type Logger, TripodError } from "@tripod/base";
import { Tracing } from "@tripod/trace";
import { socketPathCheck } from "../doctor/folders.ts";
import { lockInstance } from "./instance-lock.ts";
import { requireOwnFolder } from "./own-folder.ts";

/** The Node's name when none is configured: the host's, as a DNS name. */
export const defaultNodeName = (): string =>
  hostname()
    .toLowerCase()
    .replaceAll(/[^a-z0-9.-]/g, "-")
    .replaceAll(/^[^a-z0-9]+|[^a-z0-9]+$/g, "") || "node";

/** The address that the Node reports: the first global IPv4 one, or loopback's on a machine without a network. */
export function defaultNodeIp(ignoredLink: string): string {
  for (const [link, addresses] of Object.entries(networkInterfaces())) {
    if (link === ignoredLink) continue;
    const found = addresses?.find(
      (each) => each.family === "IPv4" && !each.internal && !each.address.startsWith("169.254."),
    );
    if (found !== undefined) return found.address;
  }
  return "127.0.0.1";
}

/** Fails with one line unless this process has root rights. */
export function requireRoot(): void {
  if (process.getuid?.() === 0) return;
  throw new TripodError(
    "permission-denied",
    "root rights are needed to make namespaces and mounts; run it as root (sudo tripod …)",
  );
}

/** What every long-running command needs first: its folders, the only-one lock and the process's tracer. */
export function enterInstance(layout: Layout, stack: AsyncDisposableStack): void {
  requireOwnFolder(layout, "use this folder for a node");
  const paths = socketPathCheck(layout);
  if (paths.status === "fail")
    throw new TripodError("failed-precondition", `use this folder for a node: ${paths.found}; ${paths.remedy}`);
  for (const dir of [layout.etcDir, layout.libDir, layout.runDir]) mkdirSync(dir, { recursive: true, mode: 0o755 });
  stack.use(lockInstance(layout));
  stack.use(Tracing.start({ dir: layout.traceDir }));
}

/** Resolves with the name of the signal that asks this process to end. A second one ends it at once. */
export function untilSignalled(log: Logger): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let asked = false;
    const onSignal = (signal: NodeJS.Signals): void => {
      if (asked) process.exit(130);
      asked = true;
      log.info({ signal }, "stopping; Pods keep running");
      resolve(signal);
    };
    process.on("SIGINT", onSignal);
    process.on("SIGTERM", onSignal);
  });
}
