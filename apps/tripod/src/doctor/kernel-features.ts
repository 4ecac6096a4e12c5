import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { release, tmpdir } from "node:os";
import { join } from "node:path";
import { type Layout, TripodError } from "@tripod/base";
import {
  createNamespaces,
  isErrno,
  nft,
  openInRoot,
  openRtnetlink,
  pidfdOpen,
  removeNamespace,
  setMountAttributes,
} from "@tripod/linux";
import { type Check, fail, ok, probe, warn } from "./check.ts";
import { lazyStartCheck } from "./lazy-start.ts";
import { snapshotterCheck } from "./snapshotter.ts";
import { isAtLeast, parseVersion } from "./version.ts";

/** mount_setattr (5.12) is the newest call that is not optional. */
const OLDEST_KERNEL = [5, 12];
const NEWER_KERNEL = "use a kernel of version 5.12 or later";

export async function kernelFeatureChecks(layout: Layout): Promise<Check[]> {
  const network = await inScratchNamespace(networkChecks);
  return [
    kernelVersion(release()),
    await snapshotterCheck(layout),
    ...lazyStartCheck(layout),
    ...network,
    userNamespaces(),
    await probe("id-mapped mounts", {
      run: probeIdMappedMounts,
      found: "mount_setattr takes an id mapping",
      otherwise: "warn",
      remedy: `Pods with hostUsers: false need them; ${NEWER_KERNEL} (5.19 for overlay)`,
    }),
    existsSync("/proc/sys/kernel/seccomp/actions_avail")
      ? ok("seccomp", readFileSync("/proc/sys/kernel/seccomp/actions_avail", "utf8").trim())
      : warn("seccomp", "not in this kernel", "containers run unfiltered; use a kernel with CONFIG_SECCOMP_FILTER=y"),
    existsSync("/proc/sys/net/bridge/bridge-nf-call-iptables")
      ? ok("br_netfilter", "bridged packets can pass the firewall")
      : warn("br_netfilter", "not loaded", "Services between Pods of one node need it: modprobe br_netfilter"),
    await probe("pidfd", {
      run: () => {
        const pidfd = pidfdOpen(process.pid);
        if (pidfd !== undefined) closeSync(pidfd);
      },
      found: "pidfd_open works",
      otherwise: "fail",
      remedy: NEWER_KERNEL,
    }),
    await probe("openat2", {
      run: () => closeSync(openInRoot("/", "proc")),
      found: "RESOLVE_IN_ROOT works",
      otherwise: "fail",
      remedy: `${NEWER_KERNEL}; in a container, one whose seccomp profile knows openat2`,
    }),
  ];
}

/** Judges what `uname -r` says. */
export function kernelVersion(text: string): Check {
  const version = parseVersion(text);
  return version !== undefined && isAtLeast(version, OLDEST_KERNEL)
    ? ok("kernel", text)
    : fail("kernel", text, NEWER_KERNEL);
}

/** Gives `work` a network namespace of its own, so that trying things out does not touch the machine's. */
async function inScratchNamespace(work: (netns: string) => Promise<Check[]>): Promise<Check[]> {
  const name = "network namespaces";
  const folder = mkdtempSync(join(tmpdir(), "tripod-doctor-"));
  const netns = join(folder, "net");
  try {
    const made = await probe(name, {
      run: () => createNamespaces({ net: netns }),
      found: "made and pinned",
      otherwise: "fail",
      remedy: "run as root, with CAP_SYS_ADMIN, on a kernel with CONFIG_NET_NS=y",
    });
    return made.status === "ok" ? [made, ...(await work(netns))] : [made];
  } finally {
    removeNamespace(netns);
    rmSync(folder, { recursive: true, force: true });
  }
}

async function networkChecks(netns: string): Promise<Check[]> {
  using rtnetlink = openRtnetlink({ netns });
  return [
    await probe("veth", {
      run: () => rtnetlink.linkAdd({ kind: "veth", name: "a", peer: { name: "b" } }),
      found: "a pair was made",
      otherwise: "fail",
      remedy: "modprobe veth",
    }),
    await probe("bridge", {
      run: () => rtnetlink.linkAdd({ kind: "bridge", name: "br0" }),
      found: "one was made",
      otherwise: "fail",
      remedy: "modprobe bridge",
    }),
    await probe("nftables", {
      run: () => {
        nft(
          "add table ip t; add chain ip t c { type nat hook postrouting priority srcnat; }; add rule ip t c masquerade",
          { netns },
        );
      },
      found: "a rule that masquerades was made",
      otherwise: "fail",
      remedy: "apt-get install libnftables1; modprobe nf_tables nft_chain_nat nft_masq",
    }),
  ];
}

function userNamespaces(): Check {
  const name = "user namespaces";
  const remedy = "Pods with hostUsers: false need them: sysctl -w user.max_user_namespaces=15000";
  const file = "/proc/sys/user/max_user_namespaces";
  if (!existsSync("/proc/self/ns/user") || !existsSync(file)) {
    return warn(name, "not in this kernel", "Pods with hostUsers: false need a kernel with CONFIG_USER_NS=y");
  }
  const most = readFileSync(file, "utf8").trim();
  return most === "0" ? warn(name, "switched off (0 allowed)", remedy) : ok(name, `${most} allowed`);
}

/**
 * Asks for a mapping that is always refused, on a path that does not exist: a kernel that knows id mappings objects to the mapping
 * or the path, one that does not objects to the call or the attribute.
 */
function probeIdMappedMounts(): void {
  const userNamespaceFd = openSync("/proc/self/ns/user", "r");
  try {
    setMountAttributes("/nonexistent/tripod-doctor", { userNamespaceFd });
  } catch (error) {
    if (isErrno(error, "EPERM", "ENOENT")) return;
    throw error;
  } finally {
    closeSync(userNamespaceFd);
  }
  throw new TripodError("internal", "mount_setattr took a mount that does not exist");
}
