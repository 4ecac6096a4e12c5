import { mkdirSync, realpathSync } from "node:fs";
import { type Mount, MountPropagation } from "@tripod/api/cri";
import { isNodeError, TripodError } from "@tripod/base";
import { type MountInfo, mountInfo } from "@tripod/linux";
import type { BindRequest, Propagation } from "@tripod/oci";
import type { SandboxPaths } from "../sandbox/paths.ts";

const propagations: Readonly<Record<number, Propagation>> = {
  [MountPropagation.PROPAGATION_PRIVATE]: "private",
  [MountPropagation.PROPAGATION_HOST_TO_CONTAINER]: "host-to-container",
  [MountPropagation.PROPAGATION_BIDIRECTIONAL]: "bidirectional",
};

/** The mount that `path` (links resolved) lies on. */
export function mountOf(path: string, mounts: readonly MountInfo[]): MountInfo | undefined {
  const holds = ({ mountPoint }: MountInfo): boolean =>
    mountPoint === "/" || path === mountPoint || path.startsWith(`${mountPoint}/`);
  // Of several mounts on one point the later one is on top.
  return mounts
    .filter(holds)
    .reduce<MountInfo | undefined>(
      (best, next) => (best === undefined || next.mountPoint.length >= best.mountPoint.length ? next : best),
      undefined,
    );
}

/** The path on the host with links resolved; a folder is made when there is nothing, as every CRI runtime does. */
function resolveHostPath(path: string): string {
  if (!path.startsWith("/"))
    throw new TripodError("invalid", `mount ${JSON.stringify(path)}: the host path is not absolute`);
  try {
    return realpathSync(path);
  } catch (error) {
    if (!isNodeError(error, "ENOENT")) throw error;
    mkdirSync(path, { recursive: true });
    return realpathSync(path);
  }
}

function checkPropagation(source: string, propagation: Propagation, mounts: () => readonly MountInfo[]): void {
  if (propagation === "private") return;
  const mount = mountOf(source, mounts());
  const kinds = mount?.propagation ?? [];
  const shared = kinds.some((kind) => kind.startsWith("shared:"));
  const enough = shared || (propagation === "host-to-container" && kinds.some((kind) => kind.startsWith("master:")));
  if (!enough) {
    throw new TripodError(
      "failed-precondition",
      `mount ${source}: it lies on ${mount?.mountPoint ?? "/"}, which is not a shared mount; run "mount --make-rshared ${mount?.mountPoint ?? "/"}"`,
    );
  }
}

/** The binds of a request, and those that every container of the sandbox has unless the request brings its own. */
export function bindsOf(
  mounts: readonly Mount[],
  sandbox: SandboxPaths,
  options: { readonly rootReadonly: boolean; readonly recursiveReadonly: boolean },
): BindRequest[] {
  let cached: readonly MountInfo[] | undefined;
  const allMounts = (): readonly MountInfo[] => {
    cached ??= mountInfo();
    return cached;
  };
  const own = mounts.map((mount): BindRequest => {
    if (mount.image !== undefined && mount.image.image !== "") {
      throw new TripodError("unimplemented", `mount ${mount.containerPath}: image volumes are not supported`);
    }
    if (mount.uidMappings.length > 0 || mount.gidMappings.length > 0) {
      throw new TripodError("unimplemented", `mount ${mount.containerPath}: id-mapped mounts are not supported`);
    }
    const propagation = propagations[mount.propagation] ?? "private";
    if (mount.recursiveReadOnly && (!mount.readonly || propagation !== "private")) {
      throw new TripodError(
        "invalid",
        `mount ${mount.containerPath}: recursive read-only needs a read-only, private mount`,
      );
    }
    if (mount.recursiveReadOnly && !options.recursiveReadonly) {
      throw new TripodError(
        "failed-precondition",
        `mount ${mount.containerPath}: this runtime has no recursive read-only mounts`,
      );
    }
    const source = resolveHostPath(mount.hostPath);
    checkPropagation(source, propagation, allMounts);
    return {
      destination: mount.containerPath.length > 1 ? mount.containerPath.replace(/\/+$/, "") : mount.containerPath,
      source,
      readonly: mount.readonly,
      recursiveReadonly: mount.recursiveReadOnly,
      propagation,
    };
  });
  const taken = new Set(own.map((bind) => bind.destination));
  const basics = [
    { destination: "/dev/shm", source: sandbox.shm, readonly: false },
    { destination: "/etc/resolv.conf", source: sandbox.resolvConf, readonly: options.rootReadonly },
    { destination: "/etc/hostname", source: sandbox.hostname, readonly: options.rootReadonly },
    { destination: "/etc/hosts", source: sandbox.hosts, readonly: options.rootReadonly },
  ]
    .filter((bind) => !taken.has(bind.destination))
    .map((bind): BindRequest => ({ ...bind, recursiveReadonly: false, propagation: "private" }));
  return [...basics, ...own];
}
