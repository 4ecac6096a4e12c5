import { readFileSync, statSync } from "node:fs";
import { messageOf, TripodError } from "@tripod/base";
import type { SeccompSpec } from "../spec/runtime-spec.ts";
import { defaultSeccompProfile } from "./default-profile.ts";

/** Which filter a container gets. */
export type SeccompChoice =
  | { readonly kind: "unconfined" }
  | { readonly kind: "runtime-default" }
  /** A profile file on this machine, absolute. */
  | { readonly kind: "localhost"; readonly path: string };

const maxProfileBytes = 4 * 1024 * 1024;

function isProfile(value: unknown): value is SeccompSpec {
  if (typeof value !== "object" || value === null) return false;
  return (
    "defaultAction" in value &&
    typeof value.defaultAction === "string" &&
    (!("syscalls" in value) || Array.isArray(value.syscalls))
  );
}

function readProfile(path: string): SeccompSpec {
  let profile: unknown;
  try {
    if (statSync(path).size > maxProfileBytes) throw new Error(`it is larger than ${maxProfileBytes} bytes`);
    profile = JSON.parse(readFileSync(path, "utf8"));
  } catch (cause) {
    throw new TripodError("failed-precondition", `read seccomp profile ${path}: ${messageOf(cause)}`, { cause });
  }
  if (!isProfile(profile))
    throw new TripodError("failed-precondition", `read seccomp profile ${path}: it has no defaultAction`);
  return { ...profile, syscalls: profile.syscalls ?? [] };
}

/** The filter for config.json; undefined for none. */
export function buildSeccomp(choice: SeccompChoice, capabilities: readonly string[]): SeccompSpec | undefined {
  if (choice.kind === "unconfined") return undefined;
  return choice.kind === "runtime-default" ? defaultSeccompProfile(capabilities) : readProfile(choice.path);
}
