import { statSync } from "node:fs";
import { messageOf, TripodError } from "@tripod/base";
import { deviceAt } from "../runtime/spec/devices.ts";
import type {
  DeviceRule,
  DeviceSpec,
  HookName,
  HookSpec,
  MountSpec,
  RuntimeSpec,
} from "../runtime/spec/runtime-spec.ts";
import type { CdiEdits } from "./parse-spec.ts";

type Items<T> = T extends readonly (infer Item)[] ? Item : never;
type DeviceNode = Items<NonNullable<CdiEdits["deviceNodes"]>>;

const nameOf = (assignment: string): string => assignment.slice(0, assignment.indexOf("="));
const depth = (path: string): number => path.split("/").filter((part) => part !== "").length;

/** The node; what the file does not say of it, the host's own node does. */
function deviceOf(node: DeviceNode, owner: { readonly uid: number; readonly gid: number }): DeviceSpec {
  const hostPath = node.hostPath ?? node.path;
  const told = node.type !== undefined && node.type !== "" && ((node.major ?? 0) !== 0 || node.type === "p");
  let numbers: Pick<DeviceSpec, "type" | "major" | "minor">;
  if (told) {
    numbers = { type: node.type as DeviceSpec["type"], major: node.major ?? 0, minor: node.minor ?? 0 }; // "" is excluded above
  } else {
    let there: DeviceSpec | undefined;
    try {
      there = deviceAt(hostPath, node.path);
    } catch (cause) {
      throw new TripodError("failed-precondition", `CDI: device node ${hostPath}: ${messageOf(cause)}`, { cause });
    }
    if (there === undefined || (node.type !== undefined && node.type !== "" && node.type !== there.type)) {
      throw new TripodError(
        "failed-precondition",
        `CDI: device node ${hostPath}: the host's is not of the type asked for`,
      );
    }
    numbers = there;
  }
  const uid = node.uid ?? (owner.uid > 0 ? owner.uid : undefined);
  const gid = node.gid ?? (owner.gid > 0 ? owner.gid : undefined);
  return {
    path: node.path,
    type: numbers.type,
    major: numbers.major,
    minor: numbers.minor,
    ...(node.fileMode != null && { fileMode: node.fileMode }),
    ...(uid !== undefined && { uid }),
    ...(gid !== undefined && { gid }),
  };
}

function ruleOf(device: DeviceSpec, permissions: string | undefined): DeviceRule[] {
  if ((device.type !== "b" && device.type !== "c") || permissions === "none") return [];
  const access = permissions === undefined || permissions === "" ? "rwm" : permissions;
  return [{ allow: true, type: device.type, major: device.major, minor: device.minor, access }];
}

function mountOf(mount: Items<NonNullable<CdiEdits["mounts"]>>): MountSpec {
  const options = mount.options ?? [];
  const named = mount.type !== undefined && mount.type !== "" && mount.type !== "none" && mount.type !== "bind";
  const binds = options.includes("bind") || options.includes("rbind");
  if (!named || binds) {
    try {
      statSync(mount.hostPath);
    } catch (cause) {
      throw new TripodError("failed-precondition", `CDI: mount ${mount.hostPath}: ${messageOf(cause)}`, { cause });
    }
  }
  return {
    destination: mount.containerPath,
    source: mount.hostPath,
    type: named ? (mount.type ?? "bind") : "bind",
    options: named || binds ? options : ["rbind", ...options],
  };
}

function hooksOf(all: readonly CdiEdits[], before: RuntimeSpec["hooks"]): Partial<Record<HookName, HookSpec[]>> {
  const hooks: Partial<Record<HookName, HookSpec[]>> = {};
  for (const [name, list] of Object.entries(before ?? {})) hooks[name as HookName] = [...list]; // its keys are HookNames
  for (const { hookName, path, args, env, timeout } of all.flatMap((edits) => edits.hooks ?? [])) {
    const hook = {
      path,
      ...(args != null && { args }),
      ...(env != null && { env }),
      ...(timeout != null && { timeout }),
    };
    (hooks[hookName] ??= []).push(hook);
  }
  return hooks;
}

/** config.json with the edits of CDI devices applied in order; a resource of the host that is missing is a "failed-precondition" error. */
export function applyCdiEdits(spec: RuntimeSpec, all: readonly CdiEdits[]): RuntimeSpec {
  if (all.length === 0) return spec;
  const [moved] = all.flatMap((edits) => edits.netDevices ?? []);
  if (moved !== undefined) {
    throw new TripodError(
      "unimplemented",
      `CDI: network device ${moved.hostInterfaceName}: moving interfaces is the network plugins' work here; use host-device`,
    );
  }
  const env = new Map(spec.process.env.map((assignment) => [nameOf(assignment), assignment]));
  for (const assignment of all.flatMap((edits) => edits.env ?? [])) env.set(nameOf(assignment), assignment);
  const nodes = all.flatMap((edits) => edits.deviceNodes ?? []);
  const made = nodes.map((node) => ({ device: deviceOf(node, spec.process.user), permissions: node.permissions }));
  const devices = new Map(
    [...spec.linux.devices, ...made.map(({ device }) => device)].map((device) => [device.path, device]),
  );
  const mounts = new Map(spec.mounts.map((mount) => [mount.destination, mount]));
  for (const mount of all.flatMap((edits) => edits.mounts ?? []).map(mountOf)) {
    mounts.delete(mount.destination);
    mounts.set(mount.destination, mount);
  }
  const gids = all.flatMap((edits) => [...(edits.additionalGIDs ?? []), ...(edits.additionalGids ?? [])]);
  const rdt = all.flatMap((edits) => edits.intelRdt ?? []).at(-1);
  const { enableCMT: _cmt, enableMBM: _mbm, schemata, ...rest } = rdt ?? {};
  return {
    ...spec,
    process: {
      ...spec.process,
      env: [...env.values()],
      user: {
        ...spec.process.user,
        additionalGids: [
          ...new Set([...(spec.process.user.additionalGids ?? []), ...gids.filter((gid) => gid !== 0)]),
        ].sort((a, b) => a - b),
      },
    },
    mounts: [...mounts.values()].toSorted((a, b) => depth(a.destination) - depth(b.destination)),
    hooks: hooksOf(all, spec.hooks),
    linux: {
      ...spec.linux,
      devices: [...devices.values()],
      resources: {
        ...spec.linux.resources,
        devices: [
          ...(spec.linux.resources.devices ?? []),
          ...made.flatMap(({ device, permissions }) => ruleOf(device, permissions)),
        ],
      },
      ...(rdt !== undefined && { intelRdt: { ...rest, ...(schemata != null && { schemata }) } }),
    },
  };
}
