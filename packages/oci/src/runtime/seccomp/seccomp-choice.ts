import { closeSync, constants, existsSync, fstatSync, openSync, readFileSync } from "node:fs";
import { messageOf, TripodError } from "@tripod/base";
import type { SeccompSpec } from "../spec/runtime-spec.ts";
import { defaultSeccompProfile } from "./default-profile.ts";
import { parseSeccompProfile } from "./parse-profile.ts";

/** Which filter a container gets. */
export type SeccompChoice =
  | { readonly kind: "unconfined" }
  | { readonly kind: "runtime-default" }
  /** A profile file on this machine, absolute. */
  | { readonly kind: "localhost"; readonly path: string };

const maxProfileBytes = 1024 * 1024;

function readJson(path: string): unknown {
  // Whatever the path leads to, a fifo too, opening it waits for nobody.
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw new Error("it is not a regular file");
    if (stat.size > maxProfileBytes) throw new Error(`it is larger than ${maxProfileBytes} bytes`);
    return JSON.parse(readFileSync(fd, "utf8"));
  } finally {
    closeSync(fd);
  }
}

function readProfile(path: string, capabilities: readonly string[]): SeccompSpec {
  const where = `seccomp profile ${path}`;
  let profile: unknown;
  try {
    profile = readJson(path);
  } catch (cause) {
    throw new TripodError("failed-precondition", `${where}: ${messageOf(cause)}`, { cause });
  }
  return parseSeccompProfile(profile, where, { capabilities });
}

const kernelHasSeccomp = (): boolean => existsSync("/proc/sys/kernel/seccomp/actions_avail");

/** The filter for config.json; undefined for none. A filter on a kernel without seccomp is a "failed-precondition" error. */
export function buildSeccomp(
  choice: SeccompChoice,
  capabilities: readonly string[],
  supported: () => boolean = kernelHasSeccomp,
): SeccompSpec | undefined {
  if (choice.kind === "unconfined") return undefined;
  if (!supported()) {
    throw new TripodError(
      "failed-precondition",
      "seccomp: this kernel has no system call filters; use a kernel with CONFIG_SECCOMP_FILTER, or Unconfined",
    );
  }
  return choice.kind === "runtime-default"
    ? defaultSeccompProfile(capabilities)
    : readProfile(choice.path, capabilities);
}
