import { TripodError } from "@tripod/base";

/**
 * Checks a cgroup's path: relative to each hierarchy's root, with a leading slash, as "/tripod-1a2b/pod-1". Neither the root itself
 * nor anything with "." or ".." in it.
 */
export function checkCgroupPath(path: string): string {
  const parts = path.split("/");
  const wrong = parts[0] !== "" || parts.length < 2 || parts.slice(1).some((part) => /^\.{0,2}$/.test(part));
  if (wrong || path.includes("\0") || path.includes("\n")) {
    throw new TripodError("invalid", `cgroup ${JSON.stringify(path)}: give a path below the root, as /tripod/pod-1`);
  }
  return path;
}

/**
 * As checkCgroupPath(), and the group is one of Tripod's: its first component is "tripod" (systemd's "tripod.slice") or starts with
 * "tripod-", or its last one is that of a container (its id of 64 hex digits, systemd's "tripod-ID.scope"), which a foreign kubelet has put
 * below a group of its own.
 */
export function checkOwnCgroup(path: string): string {
  checkCgroupPath(path);
  const isOurs = /^\/tripod(?:-[^/]*|\.slice)?(?:\/|$)/.test(path);
  if (!isOurs && !/\/(?:[0-9a-f]{64}(?:-init)?|tripod-[0-9a-f]{64}(?:-init)?\.scope)$/.test(path)) {
    throw new TripodError("permission-denied", `cgroup ${path}: not one of Tripod's, which are /tripod or /tripod-…`);
  }
  return path;
}
