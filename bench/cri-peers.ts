import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { defaultConflist } from "@tripod/cni";
import { isMountPoint, mountTmpfs } from "@tripod/linux";
import { type CriProcess, startContainerd as startDebianContainerd, startCriProcess } from "@tripod/testing";
import type { BenchPlace } from "./isolated.ts";

/** A CRI runtime under measurement. */
export interface Peer extends CriProcess {
  readonly name: string;
  /** The kernel's name (15 characters at most) of its per-container or per-Pod supervisor, and a text of its command line. */
  readonly supervisor: { readonly name: RegExp; readonly mark: string };
}

/** Runtimes keep what does not outlive a restart of the machine under /run, which is in memory: so do both here. */
function inMemory(folder: string): void {
  mkdirSync(folder, { recursive: true });
  if (!isMountPoint(folder)) mountTmpfs(folder);
}

/** What a daemon leaves behind about itself when it ends. */
export interface Instruments {
  /** The folder for a CPU profile. */
  readonly profileDir?: string;
  /** The file for its event loop's delay (event-loop-delay.ts). */
  readonly loopFile?: string;
}

/** Starts `tripod cri` with everything under the place's root. */
export async function startTripod({ folder, root, tripod }: BenchPlace, instruments: Instruments = {}): Promise<Peer> {
  inMemory(join(root, "run"));
  const { profileDir, loopFile } = instruments;
  const options = [
    ...(profileDir === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${profileDir}`]),
    ...(loopFile === undefined ? [] : ["--import", join(import.meta.dirname, "event-loop-delay.ts")]),
  ];
  const runtime = await startCriProcess({
    command: [tripod, "cri", "--root", root],
    socket: join(root, "run/tripod.sock"),
    logFile: join(folder, "tripod.log"),
    env: {
      ...process.env,
      ...(options.length === 0 ? {} : { NODE_OPTIONS: options.join(" ") }),
      ...(loopFile === undefined ? {} : { TRIPOD_BENCH_LOOP: loopFile }),
    },
  });
  return { ...runtime, name: "tripod", supervisor: { name: /^conmon$/, mark: root } };
}

/** Starts Debian's containerd with Debian's CNI plugins and a network like Tripod's own, everything under `dir`. */
export async function startContainerd(dir: string, sandboxImage: string): Promise<Peer> {
  const own = join(dir, "containerd");
  const cniConfDir = join(own, "net.d");
  mkdirSync(cniConfDir, { recursive: true });
  inMemory(join(own, "state"));
  const conflist = defaultConflist({
    name: "peer",
    bridge: "peer0",
    subnet: "10.245.0.0/16",
    dataDir: join(own, "networks"),
  });
  writeFileSync(join(cniConfDir, "10-peer.conflist"), JSON.stringify({ ...conflist, cniVersion: "1.0.0" }));
  const runtime = await startDebianContainerd({ dir: own, sandboxImage, cniConfDir });
  return { ...runtime, name: "containerd", supervisor: { name: /^containerd-shim/, mark: runtime.socket } };
}
