import { readFileSync } from "node:fs";
import { TripodError } from "@tripod/base";

/** By number (include/uapi/linux/capability.h). */
export const capabilityNames = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_DAC_READ_SEARCH",
  "CAP_FOWNER",
  "CAP_FSETID",
  "CAP_KILL",
  "CAP_SETGID",
  "CAP_SETUID",
  "CAP_SETPCAP",
  "CAP_LINUX_IMMUTABLE",
  "CAP_NET_BIND_SERVICE",
  "CAP_NET_BROADCAST",
  "CAP_NET_ADMIN",
  "CAP_NET_RAW",
  "CAP_IPC_LOCK",
  "CAP_IPC_OWNER",
  "CAP_SYS_MODULE",
  "CAP_SYS_RAWIO",
  "CAP_SYS_CHROOT",
  "CAP_SYS_PTRACE",
  "CAP_SYS_PACCT",
  "CAP_SYS_ADMIN",
  "CAP_SYS_BOOT",
  "CAP_SYS_NICE",
  "CAP_SYS_RESOURCE",
  "CAP_SYS_TIME",
  "CAP_SYS_TTY_CONFIG",
  "CAP_MKNOD",
  "CAP_LEASE",
  "CAP_AUDIT_WRITE",
  "CAP_AUDIT_CONTROL",
  "CAP_SETFCAP",
  "CAP_MAC_OVERRIDE",
  "CAP_MAC_ADMIN",
  "CAP_SYSLOG",
  "CAP_WAKE_ALARM",
  "CAP_BLOCK_SUSPEND",
  "CAP_AUDIT_READ",
  "CAP_PERFMON",
  "CAP_BPF",
  "CAP_CHECKPOINT_RESTORE",
] as const;

export type CapabilityName = (typeof capabilityNames)[number];

/** The sets of proc_pid_status(5). */
export type CapabilitySet = "effective" | "permitted" | "inheritable" | "bounding" | "ambient";

const fields: Readonly<Record<CapabilitySet, string>> = {
  effective: "CapEff",
  permitted: "CapPrm",
  inheritable: "CapInh",
  bounding: "CapBnd",
  ambient: "CapAmb",
};

/** The capabilities in a set of this thread; bits without a name here are left out. */
export function capabilities(set: CapabilitySet = "effective"): CapabilityName[] {
  const status = readFileSync("/proc/thread-self/status", "latin1");
  const digits = new RegExp(`^${fields[set]}:\\s*([0-9a-f]+)$`, "m").exec(status)?.[1];
  if (digits === undefined) throw new TripodError("corrupt", `/proc/thread-self/status: no ${fields[set]} in it`);
  const bits = BigInt(`0x${digits}`);
  return capabilityNames.filter((_name, number) => ((bits >> BigInt(number)) & 1n) !== 0n);
}

/** Whether this process may use the capability now. */
export const hasCapability = (name: CapabilityName): boolean => capabilities("effective").includes(name);

/** Whether this process is root, in its user namespace. */
export const isRoot = (): boolean => process.geteuid?.() === 0;
