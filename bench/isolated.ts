import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { layoutOf } from "@tripod/base";
import { cgroupHierarchies } from "@tripod/linux";
import { buildPackage } from "../tools/build-package.ts";

/** Set for the process inside, which is this program again: the folder that is made for it and goes away after it. */
const insideVariable = "TRIPOD_BENCH_FOLDER";

/** Where a benchmark may write, and the cgroup parents that it must use. */
export interface BenchPlace {
  /** "/tmp/tripod-bench-XXXXXX". */
  readonly folder: string;
  /** Tripod's --root; the cgroup parent of that instance is cleaned up, too. */
  readonly root: string;
  /** The CLI as users install it, built for this run: a checkout is read file by file, starts slower and holds more memory. */
  readonly tripod: string;
  /** "/tripod-bench-XXXXXX", in every hierarchy. */
  readonly cgroup: string;
}

/** What containerd and `ip netns` make at fixed places is hidden behind folders of our own: nothing is shared with the machine. */
const script = `set -e
ip link set lo up
mkdir -p /run/containerd /run/netns
mount -t tmpfs tmpfs /run/containerd
mount -t tmpfs tmpfs /run/netns
exec "$@"`;

/**
 * Runs `work` in network, mount and process namespaces of its own, by starting this program again inside them. Whatever happens, the
 * kernel ends every process and mount of it, and its folder and cgroups are removed.
 */
export async function runIsolated(work: (place: BenchPlace) => Promise<void>): Promise<void> {
  const inside = process.env[insideVariable];
  if (inside !== undefined) {
    await work(placeOf(inside));
    return;
  }
  const folder = mkdtempSync("/tmp/tripod-bench-");
  await buildPackage(dirname(placeOf(folder).tripod));
  // biome-ignore format: a program and its arguments on a line
  const command = [
    "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private",
    "sh", "-c", script, "sh",
    "catatonit", "--", // reaps what shims and supervisors leave to process 1
    process.execPath, ...process.execArgv, ...process.argv.slice(1),
  ];
  const child = spawn("unshare", command, { stdio: "inherit", env: { ...process.env, [insideVariable]: folder } });
  const interrupt = (): void => void child.kill("SIGKILL"); // by which the kernel ends everything inside
  process.on("SIGINT", interrupt).on("SIGTERM", interrupt);
  try {
    process.exitCode = await exitCodeOf(child);
  } finally {
    for (const cgroup of [placeOf(folder).cgroup, layoutOf(placeOf(folder).root).cgroupParent]) removeCgroups(cgroup);
    rmSync(folder, { recursive: true, force: true, maxRetries: 10 });
  }
}

const placeOf = (folder: string): BenchPlace => ({
  folder,
  root: join(folder, "tripod"),
  tripod: join(folder, "package/tripod"),
  cgroup: folder.replace("/tmp", ""),
});

const exitCodeOf = (child: ChildProcess): Promise<number> =>
  new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => resolve(code ?? 1));
  });

/** Removes the cgroup and those below it; the kernel may still be about to let go of processes that were killed. */
function removeCgroups(cgroup: string): void {
  const { unified, v1 } = cgroupHierarchies();
  const folders = [...new Set([...v1.values(), ...(unified === undefined ? [] : [unified])])].map(
    (root) => root + cgroup,
  );
  for (let attempt = 0; attempt < 100 && folders.some((folder) => !removeTree(folder)); attempt += 1)
    spawnSync("sleep", ["0.05"]);
}

/** Whether it is gone. */
function removeTree(folder: string): boolean {
  try {
    for (const entry of readdirSync(folder, { withFileTypes: true }))
      if (entry.isDirectory()) removeTree(join(folder, entry.name));
    rmdirSync(folder);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "ENOENT";
  }
}
