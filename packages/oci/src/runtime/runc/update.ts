import { readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { isNodeError, runCommand, TripodError } from "@tripod/base";
import { cgroupHierarchies, limitCgroup } from "@tripod/linux";
import type { ResourcesSpec } from "../spec/runtime-spec.ts";
import { runcErrorInText } from "./runc-log.ts";

export interface UpdateOptions {
  readonly runtime: string;
  readonly rootDir: string;
}

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
export async function updateContainer(id: string, resources: ResourcesSpec, options: UpdateOptions): Promise<void> {
  const { hugepageLimits = [], unified = {}, ...ofRunc } = resources;
  const cgroup = cgroupOf(id, options.rootDir);
  const command = [`--root=${options.rootDir}`, "update", "--resources", "-", id];
  const input = JSON.stringify(cgroup === undefined ? resources : ofRunc);
  const { exitCode, stderr } = await runCommand(options.runtime, command, { input, okExitCodes: "any" });
  if (exitCode !== 0) {
    throw new TripodError("failed-precondition", `update container ${id}: ${runcErrorInText(stderr.toString())}`);
  }
  if (cgroup === undefined) return;
  const hugepages = hugepageLimits.map(({ pageSize, limit }) => ({ pageSize, limitBytes: limit }));
  limitCgroup(cgroup, { hugepages, unified });
}
