import type { SeccompRule, SeccompSpec } from "../spec/runtime-spec.ts";
import {
  allowedWith,
  alwaysAllowed,
  cloneNamespaceFlags,
  harmlessPersonalities,
  refusedFamilies,
} from "./default-table.ts";

const EPERM = 1;
const ENOSYS = 38;

const words = (text: string): string[] => text.trim().split(/\s+/);

/** The architectures whose system calls a process on this machine can make. */
const architectures: Readonly<Record<string, readonly string[]>> = {
  x64: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
  arm64: ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
};

/** The RuntimeDefault profile for a process with these capabilities in its bounding set. */
export function defaultSeccompProfile(capabilities: readonly string[], arch: string = process.arch): SeccompSpec {
  const names = new Set(Object.values(alwaysAllowed).flatMap(words));
  for (const capability of capabilities)
    for (const name of words(allowedWith[capability] ?? "")) if (name !== "") names.add(name);
  const allow = (name: string, args: NonNullable<SeccompRule["args"]>): SeccompRule => ({
    names: [name],
    action: "SCMP_ACT_ALLOW",
    args,
  });
  const syscalls: SeccompRule[] = [
    { names: [...names].sort(), action: "SCMP_ACT_ALLOW" },
    ...harmlessPersonalities.map((value) => allow("personality", [{ index: 0, value, op: "SCMP_CMP_EQ" }])),
    // Ranges that leave both out: two rules that say "not equal" would allow each other's exception.
    allow("socket", [{ index: 0, value: refusedFamilies.alg, op: "SCMP_CMP_LT" }]),
    allow("socket", [{ index: 0, value: refusedFamilies.alg + 1, op: "SCMP_CMP_EQ" }]),
    allow("socket", [{ index: 0, value: refusedFamilies.vsock, op: "SCMP_CMP_GT" }]),
  ];
  if (capabilities.includes("CAP_SYS_ADMIN")) syscalls.push({ names: ["clone"], action: "SCMP_ACT_ALLOW" });
  else {
    syscalls.push(allow("clone", [{ index: 0, value: cloneNamespaceFlags, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" }]));
    // clone3's flags lie in memory, out of a filter's sight; with ENOSYS libraries fall back to clone.
    syscalls.push({ names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: ENOSYS });
  }
  if (arch === "x64") syscalls.push({ names: ["modify_ldt"], action: "SCMP_ACT_ALLOW" });
  if (arch === "arm64") {
    syscalls.push({ names: ["breakpoint", "cacheflush", "set_tls"], action: "SCMP_ACT_ALLOW" });
  }
  return {
    defaultAction: "SCMP_ACT_ERRNO",
    defaultErrnoRet: EPERM,
    architectures: architectures[arch] ?? [],
    syscalls,
  };
}
