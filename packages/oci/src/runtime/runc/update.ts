import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { isNodeError, randomHex, runCommand, TripodError } from "@tripod/base";
import { cgroupHierarchies, limitCgroup } from "@tripod/linux";
import type { ResourcesSpec } from "../spec/runtime-spec.ts";
import { runcErrorInText } from "./runc-log.ts";
import { globalArguments, type RuntimeProgram } from "./runtime-program.ts";

/** The container's cgroup as runc's own state has it; undefined for a runtime that keeps its state in another way. */
function cgroupOf(id: string, rootDir: string): string | undefined {
  let text: string;
  try {
    text = readFileSync(join(rootDir, id, "state.json"), "utf8");
  } catch (error) {
    if (isNodeError(error, "ENOENT")) return undefined;
    throw error;
  }
  const state: unknown = JSON.parse(text);
  if (typeof state !== "object" || state === null || !("cgroup_paths" in state)) return undefined;
  const { version, unified, v1 } = cgroupHierarchies();
  // Absolute folders by controller; version 2 has a single one, named "".
  const path: unknown = Reflect.get(Object(state.cgroup_paths), version === "v2" ? "" : "memory");
  const mount = version === "v2" ? unified : v1.get("memory");
  return typeof path === "string" && mount !== undefined ? `/${relative(mount, path)}` : undefined;
}

/**
 * Changes limits of a container that lives. `runc update` leaves huge pages and files of cgroup v2 alone, and sets them anew to what they were
 * when the container was made; they are therefore written after it, and have to be named again with every update.
 */
export async function updateContainer(id: string, resources: ResourcesSpec, program: RuntimeProgram): Promise<void> {
  const { hugepageLimits = [], unified = {}, ...ofRunc } = resources;
  const cgroup = cgroupOf(id, program.rootDir);
  // Not standard input: crun opens that by its path, which cannot be done with the sockets that Node makes.
  const file = join(program.rootDir, `resources-${randomHex(8)}.json`);
  writeFileSync(file, JSON.stringify(cgroup === undefined ? resources : ofRunc), { mode: 0o600 });
  try {
    const command = [...globalArguments(program), "update", "--resources", file, id];
    const { exitCode, stderr } = await runCommand(program.runtime, command, { okExitCodes: "any" });
    if (exitCode !== 0) {
      throw new TripodError("failed-precondition", `update container ${id}: ${runcErrorInText(stderr.toString())}`);
    }
  } finally {
    rmSync(file, { force: true });
  }
  if (cgroup === undefined) return;
  const hugepages = hugepageLimits.map(({ pageSize, limit }) => ({ pageSize, limitBytes: limit }));
  limitCgroup(cgroup, { hugepages, unified });
}
