import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { isNodeError, TripodError } from "@tripod/base";
import type { DeviceRule, DeviceSpec } from "./runtime-spec.ts";

/** A device node, or a folder of them, that a container shall see. */
export interface DeviceRequest {
  readonly hostPath: string;
  /** The host's path when it is "". */
  readonly containerPath: string;
  /** Of "rwm". */
  readonly permissions: string;
}

/**
 * Which of the host's devices a container sees and may use without naming them: "allowed" makes no nodes but refuses none that the
 * container makes itself.
 */
export type HostDevices = "all" | "allowed" | "none";

/** How the kernel packs a device number for stat (glibc's gnu_dev_major and gnu_dev_minor). */
const majorOf = (rdev: number): number => Number((BigInt(rdev) >> 8n) & 0xfffn);
const minorOf = (rdev: number): number => Number((BigInt(rdev) & 0xffn) | ((BigInt(rdev) >> 12n) & 0xfff00n));

/** The node at `hostPath` as config.json describes it; undefined when it is no device. */
export function deviceAt(hostPath: string, containerPath: string): DeviceSpec | undefined {
  const stat = statSync(hostPath);
  const type = stat.isBlockDevice() ? "b" : stat.isCharacterDevice() ? "c" : undefined;
  if (type === undefined) return undefined;
  return {
    path: containerPath,
    type,
    major: majorOf(stat.rdev),
    minor: minorOf(stat.rdev),
    fileMode: stat.mode & 0o777,
    uid: stat.uid,
    gid: stat.gid,
  };
}

function devicesUnder(hostPath: string, containerPath: string): DeviceSpec[] {
  const found: DeviceSpec[] = [];
  for (const entry of readdirSync(hostPath, { withFileTypes: true })) {
    const path = join(hostPath, entry.name);
    const inside = join(containerPath, entry.name);
    if (entry.isDirectory()) found.push(...devicesUnder(path, inside));
    else if (entry.isBlockDevice() || entry.isCharacterDevice()) {
      const device = deviceAt(path, inside);
      if (device !== undefined) found.push(device);
    }
  }
  return found;
}

/** The nodes that `request` names; a folder gives all devices below it. A missing path is a "not-found" error. */
function resolveDevices(request: DeviceRequest): DeviceSpec[] {
  const containerPath = request.containerPath || request.hostPath;
  if (!request.hostPath.startsWith("/") || !containerPath.startsWith("/")) {
    throw new TripodError("invalid", `device ${JSON.stringify(request.hostPath)}: both of its paths must be absolute`);
  }
  if (!/^[rwm]{1,3}$/.test(request.permissions)) {
    throw new TripodError(
      "invalid",
      `device ${request.hostPath}: permissions ${JSON.stringify(request.permissions)} are not of "rwm"`,
    );
  }
  try {
    if (statSync(request.hostPath).isDirectory()) return devicesUnder(request.hostPath, containerPath);
    const device = deviceAt(request.hostPath, containerPath);
    if (device === undefined) throw new TripodError("invalid", `device ${request.hostPath}: it is not a device`);
    return [device];
  } catch (cause) {
    if (isNodeError(cause, "ENOENT")) {
      throw new TripodError("not-found", `device ${request.hostPath}: the host has no such path`, { cause });
    }
    throw cause;
  }
}

/** Folders of /dev that belong to a mount or a terminal session, not to the machine's devices. */
const notDevices = new Set(["pts", "shm", "fd", "mqueue", "console"]);

/** Nodes and cgroup rules: those of the host that `host` says, those asked for, and runc's basic ones. */
export function buildDevices(request: { readonly host: HostDevices; readonly devices: readonly DeviceRequest[] }): {
  devices: DeviceSpec[];
  rules: DeviceRule[];
} {
  const devices: DeviceSpec[] = [];
  const rules: DeviceRule[] = [{ allow: request.host !== "none", access: "rwm" }];
  if (request.host === "all") {
    for (const name of readdirSync("/dev")) {
      if (notDevices.has(name)) continue;
      const path = join("/dev", name);
      try {
        devices.push(
          ...(statSync(path).isDirectory() ? devicesUnder(path, path) : [deviceAt(path, path)].flatMap((d) => d ?? [])),
        );
      } catch (error) {
        if (!isNodeError(error, "ENOENT")) throw error; // it went away since readdir, or is a dangling link
      }
    }
  }
  for (const wanted of request.devices) {
    for (const device of resolveDevices(wanted)) {
      devices.push(device);
      // A pipe has no rule, and resolveDevices() gives none.
      rules.push({
        allow: true,
        type: device.type === "b" ? "b" : "c",
        major: device.major,
        minor: device.minor,
        access: wanted.permissions,
      });
    }
  }
  return { devices: [...new Map(devices.map((device) => [device.path, device])).values()], rules };
}
