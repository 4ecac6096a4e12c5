import { mkdirSync, realpathSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { type Mount, MountPropagation } from "@tripod/api/cri";
import { isNodeError, TripodError } from "@tripod/base";
import { type MountInfo, mountInfo } from "@tripod/linux";
import type { BindRequest, Propagation } from "@tripod/oci";
import type { SandboxRecord } from "../records/sandbox-record.ts";
import type { SandboxPaths } from "../sandbox/paths.ts";
import { mappingOf } from "../sandbox/user-namespace.ts";

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
  const follows = propagation === "host-to-container";
  if (shared || (follows && kinds.some((kind) => kind.startsWith("master:")))) return;
  const point = mount?.mountPoint ?? "/";
  throw new TripodError(
    "failed-precondition",
    `mount: path ${JSON.stringify(source)} is mounted on ${JSON.stringify(point)} but it is not a shared${follows ? " or slave" : ""} mount; run "mount --make-rshared ${point}" on the node`,
  );
}

/** What a bind needs beside what low-level runtimes know. */
export interface PlannedBind extends BindRequest {
  /** Owners are shown as the Pod's user namespace maps them. */
  readonly idMapped: boolean;
  /** An image, or a folder of it, in the place of `source`. */
  readonly image?: { readonly name: string; readonly subPath: string };
}

/** Mount.mount_options that a bind can have. */
const knownOptions: ReadonlySet<string> = new Set(["nosuid", "nodev", "noexec"]);

/** A request's mount without its source. What contradicts itself is refused. */
function planBind(mount: Mount, sandbox: SandboxRecord): PlannedBind {
  const { containerPath } = mount;
  const refuse = (why: string): never => {
    throw new TripodError("invalid", `mount ${containerPath}: ${why}`);
  };
  const propagation = propagations[mount.propagation] ?? "private";
  if (mount.recursiveReadOnly && (!mount.readonly || propagation !== "private")) {
    refuse("recursive read-only needs a read-only, private mount");
  }
  if (propagation === "bidirectional" && sandbox.userNamespace !== undefined) {
    refuse("mounts of a Pod with a user namespace do not reach the host; use HostToContainer, or set hostUsers");
  }
  const unknown = mount.mountOptions.find((option) => !knownOptions.has(option));
  if (unknown !== undefined)
    refuse(`option ${JSON.stringify(unknown.slice(0, 200))} is not one of ${[...knownOptions].join(", ")}`);
  const idMapped = mount.uidMappings.length + mount.gidMappings.length > 0;
  if (idMapped) {
    const own = { uids: mappingOf(mount.uidMappings, "uids"), gids: mappingOf(mount.gidMappings, "gids") };
    if (!isDeepStrictEqual(own, sandbox.userNamespace))
      refuse("its id mapping is not the one of the Pod's user namespace");
  }
  const image = mount.image?.image ?? "";
  if (image !== "" && mount.hostPath !== "") refuse("it names both an image and a host path; leave one");
  if (image !== "" && !mount.readonly) refuse("an image can be mounted read-only alone");
  return {
    destination: containerPath.length > 1 ? containerPath.replace(/\/+$/, "") : containerPath,
    source: "",
    readonly: mount.readonly,
    recursiveReadonly: mount.recursiveReadOnly,
    propagation: image === "" ? propagation : "private",
    options: [...new Set([...mount.mountOptions, ...(image === "" ? [] : ["nosuid", "nodev"])])],
    idMapped,
    ...(image !== "" && { image: { name: image, subPath: mount.imageSubPath } }),
  };
}

/** The binds of a request, and those that every container of the sandbox has unless the request brings its own. */
export function bindsOf(
  mounts: readonly Mount[],
  sandbox: SandboxRecord,
  { paths, rootReadonly }: { readonly paths: SandboxPaths; readonly rootReadonly: boolean },
): PlannedBind[] {
  let cached: readonly MountInfo[] | undefined;
  const allMounts = (): readonly MountInfo[] => {
    cached ??= mountInfo();
    return cached;
  };
  const own = mounts.map((mount): PlannedBind => {
    const bind = planBind(mount, sandbox);
    if (bind.image !== undefined) return bind;
    const source = resolveHostPath(mount.hostPath);
    checkPropagation(source, bind.propagation, allMounts);
    return { ...bind, source };
  });
  const taken = new Set(own.map((bind) => bind.destination));
  const basics = [
    { destination: "/dev/shm", source: paths.shm, readonly: false },
    { destination: "/etc/resolv.conf", source: paths.resolvConf, readonly: rootReadonly },
    { destination: "/etc/hostname", source: paths.hostname, readonly: rootReadonly },
    { destination: "/etc/hosts", source: paths.hosts, readonly: rootReadonly },
  ]
    .filter((bind) => !taken.has(bind.destination))
    .map((bind): PlannedBind => ({ ...bind, recursiveReadonly: false, propagation: "private", idMapped: false }));
  return [...basics, ...own];
}
