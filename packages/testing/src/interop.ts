import { spawnSync } from "node:child_process";

/** One cell of the matrix that the test run prints: who calls, over which interface, and who answers. */
export interface InteropCell {
  /** "CNI", "CRI", "CSI", "Kubernetes API", "image", … */
  readonly interface: string;
  readonly caller: string;
  readonly callee: string;
}

/** What every name of a cell begins with; `tools/interop-matrix.ts` reads it back. */
export const interopPrefix = "interop ";

/**
 * The name of a suite (or the beginning of a test's name) whose tests count for a cell:
 * `describe(interop({ interface: "CNI", caller: "containerd 1.6.20", callee: "Tripod's plugins" }), …)`.
 */
export const interop = (cell: InteropCell): string =>
  `${interopPrefix}${cell.interface} | ${cell.caller} -> ${cell.callee}`;

/**
 * A peer with the version that this machine has, as "containerd 1.6.20"; the name alone where the Debian package is not installed. Packaging
 * suffixes of the version are left out.
 */
export function peer(name: string, debianPackage = name): string {
  const { stdout } = spawnSync("dpkg-query", ["--show", "--showformat=${Version}", debianPackage], {
    encoding: "utf8",
  });
  const version = /^(?:\d+:)?(\d[\w.]*)/.exec(stdout ?? "")?.[1];
  return version === undefined ? name : `${name} ${version}`;
}
