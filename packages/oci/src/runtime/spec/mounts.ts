import { TripodError } from "@tripod/base";
import type { MountSpec } from "./runtime-spec.ts";

/** How mounts made later spread between host and container (mount_namespaces(7)). */
export type Propagation = "private" | "host-to-container" | "bidirectional";

/** A bind mount that the caller asks for. */
export interface BindRequest {
  /** Absolute, in the container. */
  readonly destination: string;
  /** Absolute, on the host, links resolved. */
  readonly source: string;
  readonly readonly: boolean;
  /** With `readonly`: mounts below the source become read-only too (needs mount_setattr, Linux 5.12). */
  readonly recursiveReadonly: boolean;
  readonly propagation: Propagation;
  /** Further of "nosuid", "nodev", "noexec". */
  readonly options?: readonly string[];
  /** The source is a mount that has all of the above already; the runtime only binds it. */
  readonly ready?: boolean;
}

export interface MountsRequest {
  readonly privileged: boolean;
  /**
   * Whether /sys is mounted for writing. There is one sysfs for each network namespace, and whoever mounts it first makes it read-only
   * for all; so that where others are to write, it is a read-only path instead.
   */
  readonly sysWritable?: boolean;
  /** Writable even though the container is not privileged. */
  readonly cgroupWritable?: boolean;
  readonly binds: readonly BindRequest[];
}

const depth = (path: string): number => path.split("/").filter((part) => part !== "").length;

function bindOptions(bind: BindRequest): string[] {
  const propagation = { private: "rprivate", "host-to-container": "rslave", bidirectional: "rshared" } as const;
  if (bind.ready === true) return ["rbind", propagation[bind.propagation]];
  const access = bind.readonly ? (bind.recursiveReadonly ? ["rro"] : ["ro"]) : ["rw"];
  return ["rbind", propagation[bind.propagation], ...access, ...(bind.options ?? [])];
}

/** The system's own mounts, without those that a bind replaces. */
function systemMounts(request: MountsRequest): MountSpec[] {
  const writable = request.privileged ? "rw" : "ro";
  const guarded = ["nosuid", "noexec", "nodev"];
  return [
    { destination: "/proc", type: "proc", source: "proc", options: guarded },
    {
      destination: "/dev",
      type: "tmpfs",
      source: "tmpfs",
      options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
    },
    {
      destination: "/dev/pts",
      type: "devpts",
      source: "devpts",
      options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    },
    // It shows the queues of whichever IPC namespace the container is in.
    { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: guarded },
    {
      destination: "/sys",
      type: "sysfs",
      source: "sysfs",
      options: [...guarded, request.sysWritable === true ? "rw" : writable],
    },
    {
      destination: "/sys/fs/cgroup",
      type: "cgroup",
      source: "cgroup",
      options: [...guarded, "relatime", request.cgroupWritable === true ? "rw" : writable],
    },
  ];
}

/** All mounts, parents before what lies in them. Two binds on one destination are an "invalid" error. */
export function buildMounts(request: MountsRequest): MountSpec[] {
  const seen = new Set<string>();
  for (const bind of request.binds) {
    if (!bind.destination.startsWith("/")) {
      throw new TripodError(
        "invalid",
        `mount ${JSON.stringify(bind.destination)}: the path in the container is not absolute`,
      );
    }
    if (seen.has(bind.destination)) {
      throw new TripodError("invalid", `mount ${bind.destination}: it is asked for twice`);
    }
    seen.add(bind.destination);
  }
  const system = systemMounts(request).filter((mount) => !seen.has(mount.destination));
  const binds = request.binds.map((bind) => ({
    destination: bind.destination,
    type: "bind",
    source: bind.source,
    options: bindOptions(bind),
  }));
  return [...system, ...binds.toSorted((a, b) => depth(a.destination) - depth(b.destination))];
}

/** The propagation that the root of the mount namespace needs so that the binds' own can work; undefined for runc's default. */
export function rootPropagation(binds: readonly BindRequest[]): "rshared" | "rslave" | undefined {
  if (binds.some((bind) => bind.propagation === "bidirectional")) return "rshared";
  return binds.some((bind) => bind.propagation === "host-to-container") ? "rslave" : undefined;
}
