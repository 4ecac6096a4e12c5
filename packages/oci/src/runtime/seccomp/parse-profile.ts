import { release } from "node:os";
import { TripodError } from "@tripod/base";
import * as v from "valibot";
import type { SeccompRule, SeccompSpec } from "../spec/runtime-spec.ts";

const action = v.picklist(
  ["KILL", "KILL_PROCESS", "KILL_THREAD", "TRAP", "ERRNO", "TRACE", "ALLOW", "LOG", "NOTIFY"].map(
    (name) => `SCMP_ACT_${name}`,
  ),
  ({ input }) => `there is no action ${String(input)}`,
);
const operator = v.picklist(
  ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"].map((name) => `SCMP_CMP_${name}`),
  ({ input }) => `there is no operator ${String(input)}`,
);
const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const texts = v.array(v.string());

/** What of a rule decides whether it counts at all, in the form that Docker's own profile has. */
const condition = v.optional(
  v.nullable(v.object({ caps: v.optional(texts), arches: v.optional(texts), minKernel: v.optional(v.string()) })),
);

const ruleSchema = v.object({
  names: v.optional(v.array(v.pipe(v.string(), v.nonEmpty()))),
  /** Docker's old way to say `names`. */
  name: v.optional(v.string()),
  action,
  errnoRet: v.optional(v.nullable(count)),
  args: v.optional(
    v.nullable(
      v.pipe(
        v.array(
          v.object({
            index: v.pipe(count, v.maxValue(5)),
            value: count,
            valueTwo: v.optional(count),
            op: operator,
          }),
        ),
        v.maxLength(16),
      ),
    ),
  ),
  includes: condition,
  excludes: condition,
});

const profileSchema = v.object({
  defaultAction: action,
  defaultErrnoRet: v.optional(v.nullable(count)),
  architectures: v.optional(v.nullable(v.array(v.pipe(v.string(), v.startsWith("SCMP_ARCH_"))))),
  /** Docker's: an architecture with those that it can run besides. */
  archMap: v.optional(
    v.nullable(v.array(v.object({ architecture: v.string(), subArchitectures: v.optional(v.nullable(texts)) }))),
  ),
  flags: v.optional(v.nullable(v.array(v.pipe(v.string(), v.startsWith("SECCOMP_FILTER_FLAG_"))))),
  listenerPath: v.optional(v.string()),
  listenerMetadata: v.optional(v.string()),
  syscalls: v.optional(v.nullable(v.pipe(v.array(ruleSchema), v.maxLength(4096)))),
});

/** What conditions are about: the container and the machine. */
export interface ProfileSubject {
  readonly capabilities: readonly string[];
  readonly arch?: string;
  /** The kernel's release, "6.1.0-18-amd64". */
  readonly kernel?: string;
}

const archNames: Readonly<Record<string, { readonly docker: string; readonly seccomp: string }>> = {
  x64: { docker: "amd64", seccomp: "SCMP_ARCH_X86_64" },
  arm64: { docker: "arm64", seccomp: "SCMP_ARCH_AARCH64" },
};

const atLeast = (release: string, minimum: string): boolean => {
  const [major = 0, minor = 0] = release.split(".").map((part) => Number.parseInt(part, 10));
  const [wantedMajor = 0, wantedMinor = 0] = minimum.split(".").map(Number);
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
};

/** Whether a rule with these conditions counts: all of what it includes holds, and nothing of what it excludes. */
function applies(rule: v.InferOutput<typeof ruleSchema>, subject: Required<ProfileSubject>): boolean {
  const arch = archNames[subject.arch]?.docker ?? subject.arch;
  const { includes, excludes } = rule;
  const has = (capability: string): boolean => subject.capabilities.includes(capability);
  if (includes?.caps !== undefined && !includes.caps.every(has)) return false;
  if (includes?.arches !== undefined && includes.arches.length > 0 && !includes.arches.includes(arch)) return false;
  if (includes?.minKernel !== undefined && !atLeast(subject.kernel, includes.minKernel)) return false;
  if (excludes?.caps?.some(has) === true) return false;
  if (excludes?.arches?.includes(arch) === true) return false;
  return excludes?.minKernel === undefined || !atLeast(subject.kernel, excludes.minKernel);
}

/**
 * A profile file's content as config.json has it: the OCI runtime specification's form, or Docker's, whose conditions (`includes`,
 * `excludes`, `archMap`) are decided here for `subject`. What is no profile, or uses a word that seccomp does not have, is a
 * "failed-precondition" error that says where.
 */
export function parseSeccompProfile(value: unknown, where: string, subject: ProfileSubject): SeccompSpec {
  const parsed = v.safeParse(profileSchema, value);
  if (!parsed.success) {
    const [issue] = parsed.issues;
    const place = v.getDotPath(issue) ?? "it";
    throw new TripodError("failed-precondition", `${where}: ${place}: ${issue.message}`);
  }
  const profile = parsed.output;
  const about = { arch: process.arch, kernel: release(), ...subject };
  const syscalls = (profile.syscalls ?? []).flatMap((rule, index): SeccompRule[] => {
    const names = rule.names ?? (rule.name === undefined || rule.name === "" ? [] : [rule.name]);
    if (names.length === 0) {
      throw new TripodError("failed-precondition", `${where}: syscalls.${index}: it names no system call`);
    }
    if (!applies(rule, about)) return [];
    return [
      {
        names,
        action: rule.action,
        ...(rule.errnoRet != null && { errnoRet: rule.errnoRet }),
        ...(rule.args != null &&
          rule.args.length > 0 && {
            args: rule.args.map(({ index: at, value: compared, valueTwo, op }) => ({
              index: at,
              value: compared,
              ...(valueTwo !== undefined && { valueTwo }),
              op,
            })),
          }),
      },
    ];
  });
  const own = archNames[about.arch]?.seccomp;
  const mapped = profile.archMap?.find(({ architecture }) => architecture === own);
  const architectures =
    profile.architectures ??
    (mapped === undefined ? undefined : [mapped.architecture, ...(mapped.subArchitectures ?? [])]);
  return {
    defaultAction: profile.defaultAction,
    ...(profile.defaultErrnoRet != null && { defaultErrnoRet: profile.defaultErrnoRet }),
    ...(architectures !== undefined && { architectures }),
    ...(profile.flags != null && { flags: profile.flags }),
    ...(profile.listenerPath !== undefined && { listenerPath: profile.listenerPath }),
    ...(profile.listenerMetadata !== undefined && { listenerMetadata: profile.listenerMetadata }),
    syscalls,
  };
}
