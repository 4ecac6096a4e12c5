import { TripodError } from "@tripod/base";
import { capabilities, capabilityNames } from "@tripod/linux";
import type { CapabilitiesSpec } from "./runtime-spec.ts";

/** What an unprivileged container holds when nothing else is asked, as in every common runtime. */
const defaultCapabilities: readonly string[] = [
  "CAP_AUDIT_WRITE",
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_FOWNER",
  "CAP_FSETID",
  "CAP_KILL",
  "CAP_MKNOD",
  "CAP_NET_BIND_SERVICE",
  "CAP_NET_RAW",
  "CAP_SETFCAP",
  "CAP_SETGID",
  "CAP_SETPCAP",
  "CAP_SETUID",
  "CAP_SYS_CHROOT",
];

export interface CapabilityRequest {
  /** All that this process itself may pass on. */
  readonly privileged: boolean;
  /** Names with or without CAP_, or ALL. */
  readonly add: readonly string[];
  readonly drop: readonly string[];
  readonly ambient: readonly string[];
}

let ownCapabilities: readonly string[] | undefined;

/** What this process may hand to a container: its bounding set. */
export function grantableCapabilities(): readonly string[] {
  ownCapabilities ??= capabilities("bounding");
  return ownCapabilities;
}

const known: ReadonlySet<string> = new Set(capabilityNames);

function normalise(name: string): string {
  const upper = name.toUpperCase();
  const full = upper === "ALL" || upper.startsWith("CAP_") ? upper : `CAP_${upper}`;
  if (full !== "ALL" && !known.has(full)) {
    throw new TripodError("invalid", `capabilities: ${JSON.stringify(name)} is no Linux capability`);
  }
  return full;
}

/**
 * The sets of a process: default plus added minus dropped; ALL first, so that single names refine it. ALL and privileged mean what
 * `grantable` holds; a capability asked for by name that is not in it is a "failed-precondition" error, for runc would refuse it later
 * in worse words.
 */
export function buildCapabilities(
  request: CapabilityRequest,
  grantable: readonly string[] = grantableCapabilities(),
): CapabilitiesSpec {
  const add = request.add.map(normalise);
  const drop = request.drop.map(normalise);
  const ambient = request.ambient.map(normalise);
  const have = new Set(request.privileged || add.includes("ALL") ? grantable : defaultCapabilities);
  if (drop.includes("ALL") && !request.privileged) {
    have.clear();
    if (add.includes("ALL")) for (const name of grantable) have.add(name);
  }
  if (!request.privileged) {
    for (const name of [...add, ...ambient]) if (name !== "ALL") have.add(name);
    for (const name of drop) have.delete(name);
  }
  const missing = [...add, ...ambient].find((name) => have.has(name) && !grantable.includes(name));
  if (missing !== undefined) {
    throw new TripodError(
      "failed-precondition",
      `capabilities: ${missing} cannot be given to a container because the daemon itself was started without it`,
    );
  }
  const names = [...have].filter((name) => grantable.includes(name)).sort();
  const raised = ambient.includes("ALL") ? names : ambient.filter((name) => have.has(name));
  return { bounding: names, effective: names, permitted: names, inheritable: raised, ambient: raised };
}
