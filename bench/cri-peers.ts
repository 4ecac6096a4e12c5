import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { RuntimeService } from "@tripod/api/cri";
import { TripodError } from "@tripod/base";
import { defaultConflist } from "@tripod/cni";
import { GrpcChannel } from "@tripod/grpc";
import type { BenchPlace } from "./isolated.ts";

/** A CRI runtime under measurement. */
export interface Peer extends AsyncDisposable {
  readonly name: string;
  readonly socket: string;
  readonly pid: number;
  /** The kernel's name (15 characters at most) of its per-container or per-Pod supervisor, and a text of its command line. */
  readonly supervisor: { readonly name: RegExp; readonly mark: string };
}

const exited = (child: ChildProcess): Promise<void> =>
  new Promise((resolve) =>
    child.exitCode === null && child.signalCode === null ? child.once("exit", () => resolve()) : resolve(),
  );

async function stop(child: ChildProcess): Promise<void> {
  child.kill("SIGTERM");
  await exited(child);
}

/** Calls Version until the runtime answers; its end, or 30 s, is an error with the end of its log. */
async function untilServing(name: string, child: ChildProcess, socket: string, logFile: string): Promise<void> {
  using channel = new GrpcChannel({ socket });
  const ended = exited(child).then(() => {
    throw new TripodError("unavailable", `start ${name}: it ended: ${readFileSync(logFile, "utf8").slice(-2000)}`);
  });
  const deadline = performance.now() + 30_000;
  for (;;) {
    try {
      await Promise.race([channel.client(RuntimeService).version({}, { timeoutMs: 1000 }), ended]);
      ended.catch(() => {}); // from here on its end is expected: we bring it about
      return;
    } catch (error) {
      if (child.exitCode !== null || performance.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50)); // a foreign daemon tells nobody when it serves
    }
  }
}

/** Starts `tripod cri` with everything under the place's root; with `profileDir`, where Node is to leave a CPU profile of it. */
export async function startTripod({ folder, root }: BenchPlace, profileDir?: string): Promise<Peer> {
  mkdirSync(root, { recursive: true });
  const logFile = join(folder, "tripod.log");
  const log = openSync(logFile, "a");
  const child = spawn(join(import.meta.dirname, "../tripod"), ["cri", "--root", root], {
    stdio: ["ignore", log, log],
    env: {
      ...process.env,
      ...(profileDir !== undefined && { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${profileDir}` }),
    },
  });
  const socket = join(root, "run/tripod.sock");
  await untilServing("tripod", child, socket, logFile);
  return {
    name: "tripod",
    socket,
    pid: child.pid ?? 0,
    supervisor: { name: /^conmon$/, mark: root },
    [Symbol.asyncDispose]: () => stop(child),
  };
}

/** Starts Debian's containerd with Debian's CNI plugins and a network like Tripod's own, everything under `dir`. */
export async function startContainerd(dir: string, sandboxImage: string): Promise<Peer> {
  const own = join(dir, "containerd");
  const confDir = join(own, "net.d");
  mkdirSync(confDir, { recursive: true });
  const conflist = defaultConflist({
    name: "peer",
    bridge: "peer0",
    subnet: "10.245.0.0/16",
    dataDir: join(own, "networks"),
  });
  writeFileSync(join(confDir, "10-peer.conflist"), JSON.stringify({ ...conflist, cniVersion: "1.0.0" }));
  const socket = join(own, "containerd.sock");
  writeFileSync(
    join(own, "config.toml"),
    `version = 2
root = "${own}/root"
state = "${own}/state"
[grpc]
  address = "${socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${sandboxImage}"
  restrict_oom_score_adj = true
  disable_apparmor = true
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "${confDir}"
[plugins."io.containerd.grpc.v1.cri".containerd]
  default_runtime_name = "runc"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
`,
  );
  const logFile = join(own, "containerd.log");
  const log = openSync(logFile, "a");
  const child = spawn("containerd", ["--config", join(own, "config.toml")], { stdio: ["ignore", log, log] });
  await untilServing("containerd", child, socket, logFile);
  return {
    name: "containerd",
    socket,
    pid: child.pid ?? 0,
    supervisor: { name: /^containerd-shim/, mark: socket },
    [Symbol.asyncDispose]: () => stop(child),
  };
}
