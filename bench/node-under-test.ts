import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { layoutOf, runCommand, TripodError } from "@tripod/base";
import { pushBusybox, startRegistry } from "@tripod/testing";
import type { BenchPlace } from "./isolated.ts";

/** A node with an image of busybox at hand; disposed of, it is stopped as by Ctrl-C. */
export interface NodeUnderTest extends AsyncDisposable {
  readonly kubeconfig: string;
  readonly image: string;
  /** `tripod down`. */
  readonly down: () => Promise<void>;
}

/** Runs `tripod up`, and a registry with busybox on loopback. */
export async function startNode({ root, tripod }: BenchPlace): Promise<NodeUnderTest> {
  await using stack = new AsyncDisposableStack();
  const registry = stack.use(await startRegistry());
  const image = await pushBusybox(registry);
  const layout = layoutOf(root);
  const hosts = join(layout.certsDir, registry.host);
  mkdirSync(hosts, { recursive: true });
  writeFileSync(join(hosts, "hosts.toml"), `[host."http://${registry.host}"]\n  capabilities = ["pull", "resolve"]\n`);
  const child = spawn(tripod, ["up", "--root", root], { stdio: ["ignore", "pipe", "inherit"] });
  const stop = async (): Promise<void> => {
    if (child.exitCode !== null) return;
    const ended = once(child, "exit");
    child.kill("SIGTERM");
    await ended;
  };
  stack.defer(stop);
  await readReadyLine(child);
  const kept = stack.move();
  return {
    kubeconfig: layout.kubeconfig,
    image,
    async down() {
      await stop();
      await runCommand(tripod, ["down", "--root", root]);
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

/** Resolves when a `tripod up` says that it is ready; an error when it says anything else, or ends. */
export async function readReadyLine(child: ChildProcess): Promise<void> {
  if (child.stdout === null) throw new TripodError("internal", "start the node: its output is not connected");
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.startsWith("tripod: ready")) return;
    if (line.startsWith("tripod: ")) throw new TripodError("unavailable", `start the node: ${line}`);
  }
  throw new TripodError("unavailable", "start the node: it ended before it was ready; its reason stands above");
}
