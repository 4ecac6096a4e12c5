import { lstatSync, readFileSync, statSync } from "node:fs";
import { isAbsolute, join, resolve } from "node:path";
import { isNodeError, messageOf, TripodError } from "@tripod/base";
import { checkRuntimeSpec, type RuntimeSpec } from "@tripod/oci";

/** A folder with config.json and a root file system. Specification: bundle.md. */
export interface Bundle {
  readonly folder: string;
  /** As the file has it, what Tripod does not know of included. */
  readonly spec: RuntimeSpec;
  /** Absolute. */
  readonly rootfs: string;
}

/** Nobody writes more by hand, and checking it takes moments. */
const maxConfigBytes = 4 * 1024 * 1024;

function readConfig(file: string): unknown {
  let text: string;
  try {
    const { size } = statSync(file);
    if (size > maxConfigBytes)
      throw new TripodError("invalid", `${file}: ${size} bytes are more than ${maxConfigBytes}`);
    text = readFileSync(file, "utf8");
  } catch (error) {
    if (!isNodeError(error, "ENOENT", "ENOTDIR")) throw error;
    throw new TripodError("not-found", `${file} is not there; tripod oci spec writes one`);
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new TripodError("invalid", `${file} is not JSON: ${messageOf(error)}`);
  }
}

/** What is wrong with a bundle, a line each; [] when it can be run. */
export function bundleProblems(folder: string): string[] {
  const file = join(folder, "config.json");
  const spec = readConfig(file);
  const problems = checkRuntimeSpec(spec).map(
    ({ path, message }) => `${path === "" ? "config.json" : path}: ${message}`,
  );
  if (problems.length > 0) return problems;
  const { root, process } = spec as RuntimeSpec; // checked
  const rootfs = resolve(folder, root.path);
  if (lstatSync(rootfs, { throwIfNoEntry: false }) === undefined)
    problems.push(`root.path: ${rootfs} is not there; tripod oci spec --image NAME --unpack makes one`);
  else if (!statSync(rootfs).isDirectory()) problems.push(`root.path: ${rootfs} is no folder`);
  if (process?.args === undefined) problems.push("process.args: is missing; there is nothing to run");
  return problems;
}

/** Reads a bundle that can be run; all that is wrong with it is one "invalid" error. */
export function readBundle(folder: string): Bundle {
  const problems = bundleProblems(folder);
  if (problems.length > 0)
    throw new TripodError(
      "invalid",
      `${join(folder, "config.json")}:\n${problems.map((line) => `  ${line}`).join("\n")}`,
    );
  const spec = readConfig(join(folder, "config.json")) as RuntimeSpec; // bundleProblems() found none
  return { folder: resolve(folder), spec, rootfs: resolve(folder, spec.root.path) };
}

/** The spec with all paths that are relative to the bundle made absolute, so that it may lie elsewhere. */
export function withAbsolutePaths({ folder, spec, rootfs }: Bundle): RuntimeSpec {
  const isBind = (options: readonly string[] | undefined): boolean =>
    options?.some((option) => option === "bind" || option === "rbind") === true;
  return {
    ...spec,
    root: { ...spec.root, path: rootfs },
    ...(spec.mounts !== undefined && {
      mounts: spec.mounts.map((mount) =>
        isBind(mount.options) && !isAbsolute(mount.source) ? { ...mount, source: join(folder, mount.source) } : mount,
      ),
    }),
  };
}
