import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Layout } from "@tripod/base";
import { pushBusybox } from "@tripod/testing";
import { type CriClient, connectCri } from "../cri/cri-client.ts";

/** A CRI runtime in a process of its own, reached over its socket alone. */
export interface CriPeer extends AsyncDisposable {
  readonly name: string;
  readonly socket: string;
}

/** Removes every sandbox, so that nothing of a failed test stays. */
async function removeAll(cri: CriClient): Promise<void> {
  for (const { id } of (await cri.runtime.listPodSandbox({})).items) {
    await cri.runtime.stopPodSandbox({ podSandboxId: id });
    await cri.runtime.removePodSandbox({ podSandboxId: id });
  }
}

async function answered(socket: string, child: ChildProcess): Promise<void> {
  using cri = connectCri(socket);
  for (;;) {
    if (child.exitCode !== null) throw new Error(`the runtime ended with ${child.exitCode}`);
    try {
      await cri.runtime.version({ version: "v1" }, { timeoutMs: 1000 });
      return;
    } catch {
      await sleep(50); // a foreign daemon has no other way to say that it is up
    }
  }
}

async function stop(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill(signal);
  await once(child, "exit");
}

function peer(name: string, socket: string, child: ChildProcess): CriPeer {
  return {
    name,
    socket,
    async [Symbol.asyncDispose]() {
      using cri = connectCri(socket);
      try {
        await removeAll(cri);
      } finally {
        await stop(child, "SIGTERM");
      }
    },
  };
}

/** Our own CRI server, as the sibling package starts it for its tests. */
export async function startTripodCri(layout: Layout): Promise<CriPeer> {
  const main = join(import.meta.dirname, "../../../cri/src/testing/serve-main.ts");
  const child = spawn(process.execPath, [main, layout.root ?? ""], { stdio: ["ignore", "ignore", "inherit"] });
  await answered(layout.criSocket, child);
  return peer("tripod", layout.criSocket, child);
}

/** Debian's containerd with folders of its own; the pause image is busybox that sleeps, from the test's registry. */
export async function startContainerd(layout: Layout, registry: { readonly host: string }): Promise<CriPeer> {
  const pause = await pushBusybox(registry, "pause:1", { spec: { cmd: ["/bin/sleep", "100000"] } });
  const dir = join(layout.root ?? "", "containerd");
  mkdirSync(join(dir, "opt"), { recursive: true });
  const socket = join(dir, "containerd.sock");
  const config = join(dir, "config.toml");
  writeFileSync(
    config,
    `version = 2
root = "${dir}/root"
state = "${dir}/state"
[grpc]
  address = "${socket}"
[ttrpc]
  address = "${socket}.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
  path = "${dir}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${pause}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  enable_selinux = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "${layout.cniConfDir}"
`,
  );
  const child = spawn("containerd", ["--config", config, "--log-level", "error"], {
    stdio: "ignore",
  });
  await answered(socket, child);
  return peer("containerd", socket, child);
}
