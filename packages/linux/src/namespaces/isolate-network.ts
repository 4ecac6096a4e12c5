import { libc } from "../libc.ts";
import { bringUpLoopback } from "../netlink/rtnetlink.ts";
import { check } from "../system-call-error.ts";
import { namespaceFlags } from "./namespace-kind.ts";

/**
 * Moves the calling thread, and every process and socket that it makes from now on, into a new network namespace with only `lo`, which
 * is up. For tests and tools that must not touch the machine's network; there is no way back. The namespace goes with the last of them.
 */
export function isolateNetwork(): void {
  check("unshare", "net", libc.unshare(namespaceFlags.net));
  bringUpLoopback("/proc/thread-self/ns/net");
}
