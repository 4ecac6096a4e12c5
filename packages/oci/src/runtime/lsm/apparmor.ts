import { readFileSync } from "node:fs";
import { join } from "node:path";
import { isTripodError, messageOf, runCommand, TripodError } from "@tripod/base";
import { findProgram } from "../runc/find-program.ts";

/** Which AppArmor profile confines a container. */
export type ApparmorChoice =
  | { readonly kind: "unconfined" }
  /** `asked` tells one that a Pod names from one that it gets for naming none. */
  | { readonly kind: "runtime-default"; readonly asked: boolean }
  /** One that an administrator has loaded into the kernel. */
  | { readonly kind: "localhost"; readonly profile: string };

/** The name of the profile behind RuntimeDefault. */
export const defaultApparmorProfile = "tripod-default";

/**
 * What RuntimeDefault forbids beyond what namespaces and capabilities do: writing to the kernel's knobs in /proc and /sys, mounting,
 * and tracing processes under other profiles. Ours replaces no profile of the distribution's.
 */
export const defaultApparmorText = `#include <tunables/global>
profile ${defaultApparmorProfile} flags=(attach_disconnected,mediate_deleted) {
  #include <abstractions/base>
  network,
  capability,
  file,
  umount,
  signal (receive) peer=unconfined,
  signal (send,receive) peer=${defaultApparmorProfile},
  ptrace (trace,read,tracedby,readby) peer=${defaultApparmorProfile},
  deny mount,
  deny @{PROC}/* w,
  deny @{PROC}/{[^1-9s],[^1-9s][^/]*,s[^y],s[^y][^s]*}/** w,
  deny @{PROC}/sys/[^kn]** w,
  deny @{PROC}/sys/kernel/{?,??,[^s][^h][^m]**} w,
  deny @{PROC}/sysrq-trigger rwklx,
  deny @{PROC}/kcore rwklx,
  deny /sys/[^f]*/** wklx,
  deny /sys/f[^s]*/** wklx,
  deny /sys/fs/[^c]*/** wklx,
  deny /sys/fs/c[^g]*/** wklx,
  deny /sys/fs/cg[^r]*/** wklx,
  deny /sys/firmware/** rwklx,
  deny /sys/devices/virtual/powercap/** rwklx,
  deny /sys/kernel/security/** rwklx,
}
`;

const textOf = (path: string): string | undefined => {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined; // a kernel without AppArmor has no such file
  }
};

/** Whether this kernel enforces AppArmor. */
export const apparmorEnabled = (sys = "/sys"): boolean =>
  textOf(join(sys, "module/apparmor/parameters/enabled"))?.startsWith("Y") ?? false;

/** Whether the kernel has a profile of this name. Lines of the list read "name (mode)". */
export const apparmorProfileLoaded = (profile: string, sys = "/sys"): boolean =>
  (textOf(join(sys, "kernel/security/apparmor/profiles")) ?? "")
    .split("\n")
    .some((line) => profile !== "" && line.replace(/ \([a-z]+\)$/, "") === profile);

/** Where to look; the machine itself unless told. */
interface ApparmorMachine {
  readonly sys?: string;
  /** The program that loads profiles. */
  readonly parser?: string;
}

async function loadDefaultProfile(parser: string): Promise<void> {
  try {
    await runCommand(parser, ["--replace", "--skip-cache"], { input: defaultApparmorText });
  } catch (cause) {
    throw new TripodError(
      "failed-precondition",
      `apparmor: the default profile could not be loaded: ${messageOf(cause)}; install apparmor, or use Unconfined`,
      { cause },
    );
  }
}

/**
 * The profile name for config.json; undefined for none. On a kernel without AppArmor RuntimeDefault is what the runtime has there,
 * nothing; a profile by name is a "failed-precondition" error, also one that is not loaded. Without the program that loads profiles,
 * as in a container that holds a whole node, only who asked for RuntimeDefault is refused.
 */
export async function buildApparmor(
  choice: ApparmorChoice,
  { sys = "/sys", parser = "apparmor_parser" }: ApparmorMachine = {},
): Promise<string | undefined> {
  if (choice.kind === "unconfined") return undefined;
  const enabled = apparmorEnabled(sys);
  if (choice.kind === "localhost") {
    if (!enabled) {
      throw new TripodError(
        "failed-precondition",
        `apparmor: profile ${choice.profile} was asked for, but this kernel has no AppArmor; run the Pod without it or on another node`,
      );
    }
    if (!apparmorProfileLoaded(choice.profile, sys)) {
      throw new TripodError(
        "failed-precondition",
        `apparmor: profile ${choice.profile} is not loaded; load it with apparmor_parser -r`,
      );
    }
    return choice.profile;
  }
  if (!enabled) return undefined;
  if (!apparmorProfileLoaded(defaultApparmorProfile, sys)) {
    if (!choice.asked && !isInstalled(parser)) return undefined;
    await loadDefaultProfile(parser);
  }
  return defaultApparmorProfile;
}

function isInstalled(program: string): boolean {
  try {
    findProgram(program);
    return true;
  } catch (error) {
    if (isTripodError(error, "not-found")) return false;
    throw error;
  }
}
