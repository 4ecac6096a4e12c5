import { type CapabilityName, capabilities, isRoot } from "@tripod/linux";
import { type Check, fail, ok, warn } from "./check.ts";

/** Without these Pods cannot be started: namespaces, mounts, networks, ownership of files, other users' processes. */
const needed: readonly CapabilityName[] = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_FOWNER",
  "CAP_FSETID",
  "CAP_KILL",
  "CAP_MKNOD",
  "CAP_NET_ADMIN",
  "CAP_NET_RAW",
  "CAP_SETFCAP",
  "CAP_SETGID",
  "CAP_SETPCAP",
  "CAP_SETUID",
  "CAP_SYS_ADMIN",
  "CAP_SYS_CHROOT",
];

export function privilegeChecks(): Check[] {
  return [
    isRoot()
      ? ok("root", "effective user 0")
      : fail("root", `effective user ${process.geteuid?.() ?? "unknown"}`, "run as root: sudo tripod …"),
    capabilityCheck(capabilities("effective")),
  ];
}

/** Judges a set of capabilities. */
export function capabilityCheck(have: readonly CapabilityName[]): Check {
  const missing = needed.filter((name) => !have.includes(name));
  if (missing.length > 0) {
    return fail(
      "capabilities",
      `missing ${missing.join(", ")}`,
      "run as root of the machine; in a container, start it with --privileged",
    );
  }
  if (!have.includes("CAP_SYS_RESOURCE")) {
    return warn(
      "capabilities",
      "all but CAP_SYS_RESOURCE",
      "oom_score_adj below this process's own is clamped and raised limits are refused; add CAP_SYS_RESOURCE if Pods need them",
    );
  }
  return ok("capabilities", "all that are needed");
}
