import assert from "node:assert/strict";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { layoutOf, messageOf, runCommand } from "@tripod/base";
import { defaultConflist } from "@tripod/cni";
import { isolateNetwork } from "@tripod/linux";
import { interop, peer, pushBusybox, startContainerd, startCriProcess, startRegistry, tempRoot } from "@tripod/testing";
import { specs } from "./specs/index.ts";
import { pushImages } from "./suite/images.ts";
import { type Column, report } from "./suite/report.ts";
import { type Outcome, runSpecs } from "./suite/run-specs.ts";

const tripod = join(import.meta.dirname, "../../../tripod");

const nameOf = ({ topic, name }: { readonly topic: string; readonly name: string }): string => `${topic}: ${name}`;

describe(interop({ interface: "CRI", caller: "conformance suite", callee: "Tripod" }), () => {
  const stack = new AsyncDisposableStack();
  let outcomes: ReadonlyMap<string, Outcome>;

  before(async () => {
    isolateNetwork();
    const root = stack.use(tempRoot());
    chmodSync(root.path, 0o711); // a Pod's root in a user namespace is one of the others
    const at = (name: string): string => join(root.path, name);
    const registry = stack.use(await startRegistry());
    await pushImages(registry.host);
    const columns = await Promise.all([runTripod(at, registry.host), containerdColumn(at, registry.host)]);
    console.log(report(columns));
    outcomes = new Map(columns[0].outcomes.map((outcome) => [nameOf(outcome), outcome]));
  });
  after(() => stack.disposeAsync());

  async function runTripod(at: (name: string) => string, registry: string): Promise<Column> {
    const layout = layoutOf(at("t"));
    stack.defer(async () => {
      await runCommand(tripod, ["down", "--root", at("t")]);
    });
    const command = [tripod, "cri", "--root", at("t"), "--log-level", "warn"] as const;
    const process = { command, socket: layout.criSocket, logFile: at("tripod.log") };
    const runtime = stack.use(await startCriProcess(process));
    return {
      runtime: "tripod",
      outcomes: await runSpecs({ socket: runtime.socket, registry, folder: at("ft") }, specs),
    };
  }

  /** It is there to compare with: nothing of it fails the job. */
  async function containerdColumn(at: (name: string) => string, registry: string): Promise<Column> {
    try {
      return await runContainerd(at, registry);
    } catch (error) {
      console.log(`containerd: the suite could not be run against it: ${messageOf(error)}`);
      return { runtime: "containerd", outcomes: [] };
    }
  }

  async function runContainerd(at: (name: string) => string, registry: string): Promise<Column> {
    const sandboxImage = await pushBusybox({ host: registry }, "pause:1", { spec: { cmd: ["/bin/sleep", "100000"] } });
    const cniConfDir = at("net.d");
    mkdirSync(cniConfDir);
    const conflist = defaultConflist({ bridge: "peer0", subnet: "10.247.0.0/16", dataDir: at("networks") });
    writeFileSync(join(cniConfDir, "10-peer.conflist"), JSON.stringify({ ...conflist, cniVersion: "1.0.0" }));
    const runtime = stack.use(await startContainerd({ dir: at("c"), sandboxImage, cniConfDir }));
    const target = { socket: runtime.socket, registry, folder: at("fc") };
    return { runtime: peer("containerd"), outcomes: await runSpecs(target, specs) };
  }

  for (const spec of specs) {
    test(nameOf(spec), (t) => {
      const outcome = outcomes.get(nameOf(spec));
      assert.ok(outcome, "it was not run");
      if (outcome.kind === "skipped") t.skip(outcome.reason);
      else assert.equal(outcome.kind, "passed", outcome.reason);
    });
  }
});
