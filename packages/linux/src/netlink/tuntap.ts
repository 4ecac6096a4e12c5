import { closeSync, constants, openSync } from "node:fs";
import { libc } from "../libc.ts";
import { inNetns } from "../namespaces/in-namespaces.ts";
import { check } from "../system-call-error.ts";
import { checkLinkName } from "./link-message.ts";

const TUNSETIFF = 0x400454ca;
const TUNSETPERSIST = 0x400454cb;
const TUNSETOWNER = 0x400454cc;
const TUNSETGROUP = 0x400454ce;
const IFF_TUN = 0x1;
const IFF_TAP = 0x2;
const IFF_MULTI_QUEUE = 0x100;
const IFF_NO_PI = 0x1000;

export interface TunTapSpec {
  readonly kind: "tun" | "tap";
  readonly name: string;
  readonly netns?: string | undefined;
  readonly multiQueue?: boolean | undefined;
  /** Who else may open it. */
  readonly owner?: number | undefined;
  readonly group?: number | undefined;
}

/**
 * Opens a TUN (IP packets) or TAP (frames) device, which is made unless it is there: what the kernel sends to it is read from the descriptor,
 * one packet a read, and what is written comes in from it. See streamOfFd(). The caller closes the descriptor.
 */
export function tunTapOpen(spec: Pick<TunTapSpec, "kind" | "name" | "netns" | "multiQueue">): number {
  const request = Buffer.alloc(40); // struct ifreq
  request.write(checkLinkName(spec.name), 0);
  const kind = spec.kind === "tun" ? IFF_TUN : IFF_TAP;
  request.writeUInt16LE(kind | IFF_NO_PI | (spec.multiQueue === true ? IFF_MULTI_QUEUE : 0), 16);
  // The device belongs to the namespace of the thread that opens the control file.
  const descriptor = inNetns(spec.netns, () => openSync("/dev/net/tun", constants.O_RDWR));
  try {
    check("TUNSETIFF", spec.name, libc.ioctl(descriptor, TUNSETIFF, request));
    return descriptor;
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}

/** Makes a TUN or TAP device that stays until it is deleted with linkDelete(). */
export function tunTapAdd(spec: TunTapSpec): void {
  const descriptor = tunTapOpen(spec);
  const control = (name: string, code: number, argument: bigint): void => {
    check(name, spec.name, libc.ioctl(descriptor, code, argument));
  };
  try {
    if (spec.owner !== undefined) control("TUNSETOWNER", TUNSETOWNER, BigInt(spec.owner));
    if (spec.group !== undefined) control("TUNSETGROUP", TUNSETGROUP, BigInt(spec.group));
    control("TUNSETPERSIST", TUNSETPERSIST, 1n);
  } finally {
    closeSync(descriptor);
  }
}
