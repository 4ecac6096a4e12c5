import { basename, dirname, join } from "node:path";
import { type Layout, TripodError } from "@tripod/base";
import { slicePath, systemdIsInit } from "@tripod/linux";
import type { CriContext } from "../context.ts";

/** Who makes cgroups: the low-level runtime by mkdir, or systemd on its request. */
export type CgroupDriverName = "cgroupfs" | "systemd";

/**
 * The configured driver; cgroupfs unless told, as with the kubelet and containerd. systemd is never chosen by itself: a kubelet that was set
 * up for cgroupfs would then give parents that are no slices. "failed-precondition" where systemd is asked for and is not init.
 */
export function cgroupDriverOf(config: { readonly cgroupDriver?: CgroupDriverName }): CgroupDriverName {
  const driver = config.cgroupDriver ?? "cgroupfs";
  if (driver === "systemd" && !systemdIsInit()) {
    throw new TripodError(
      "failed-precondition",
      "cri: cgroupDriver is systemd, but systemd is not init here; use cgroupfs",
    );
  }
  return driver;
}

type From = Pick<CriContext, "cgroupDriver" | "layout">;

/** A slice of this instance: "tripod-1a2b.slice" for "/tripod-1a2b", and "tripod-1a2b-ID.slice" below it. */
const instanceSlice = ({ layout }: Pick<From, "layout">, name = ""): string =>
  `${layout.cgroupParent.slice(1)}${name}.slice`;

/** The cgroups that hold the sandboxes of an instance which come without a parent, whichever driver made them. */
export const instanceCgroups = (layout: Layout): string[] => [
  layout.cgroupParent,
  ...(systemdIsInit() ? [slicePath(instanceSlice({ layout }))] : []),
];

/** The cgroup of a sandbox whose request names no parent. */
export const ownCgroup = (from: From, sandboxId: string): string =>
  from.cgroupDriver === "systemd"
    ? slicePath(instanceSlice(from, `-${sandboxId}`))
    : join(from.layout.cgroupParent, sandboxId);

/** The cgroup that a kubelet's `cgroup_parent` means: a path for cgroupfs, a slice (with or without the slices above it) for systemd. */
export function parentCgroup(from: From, asked: string): string {
  if (from.cgroupDriver === "systemd") {
    if (!asked.endsWith(".slice")) {
      throw new TripodError(
        "invalid",
        `sandbox: cgroup parent ${JSON.stringify(asked)} is not a slice (the driver is systemd); set the kubelet's cgroupDriver to systemd`,
      );
    }
    return slicePath(basename(asked));
  }
  if (!asked.startsWith("/") || asked.split("/").includes("..")) {
    throw new TripodError(
      "invalid",
      `sandbox: cgroup parent ${JSON.stringify(asked)} is not an absolute path (the driver is cgroupfs)`,
    );
  }
  return asked;
}

/** The cgroup of a container below its sandbox's. A parent from before the driver was changed to systemd is no slice. */
export const containerCgroup = ({ cgroupDriver }: Pick<From, "cgroupDriver">, parent: string, id: string): string =>
  cgroupDriver === "systemd" && parent.endsWith(".slice") ? `${parent}/tripod-${id}.scope` : join(parent, id);

/** Whether systemd makes this cgroup of a container. */
export const isScope = (cgroup: string): boolean => /^tripod-[^/]+\.scope$/.test(basename(cgroup));

/** The cgroup as config.json names it: the path, or "slice:prefix:name". */
export function cgroupsPathInSpec(cgroup: string): string {
  if (!isScope(cgroup)) return cgroup;
  return `${basename(dirname(cgroup))}:tripod:${basename(cgroup).slice("tripod-".length, -".scope".length)}`;
}

/** The cgroup that config.json names so. */
export function cgroupOfSpec(cgroupsPath: string): string {
  const [slice, prefix, name] = cgroupsPath.startsWith("/") ? [] : cgroupsPath.split(":");
  return slice === undefined ? cgroupsPath : `${slicePath(slice)}/${prefix}-${name}.scope`;
}

/** systemd keeps a failed scope (one with a process killed for want of memory) until somebody asks it not to. */
export const scopeAnnotations = (cgroup: string): Record<string, string> =>
  isScope(cgroup) ? { "org.systemd.property.CollectMode": "'inactive-or-failed'" } : {};
