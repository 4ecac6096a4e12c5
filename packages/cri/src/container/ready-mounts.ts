import {
  closeSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { failpoint, isTripodError, messageOf, TripodError } from "@tripod/base";
import { cloneMount, isErrno, MOUNT_ATTR, O_PATH, openInRoot, unmount } from "@tripod/linux";
import type { BindRequest, IdMap, RuntimeAbilities } from "@tripod/oci";
import type { CriContext } from "../context.ts";
import type { PlannedBind } from "./binds.ts";

/** Where a container's mounts stand until the low-level runtime has copied them into the container's own mount namespace. */
export const readyMountsFolder = (context: Pick<CriContext, "layout">, containerId: string): string =>
  join(context.layout.runDir, "mounts", containerId);

export interface ReadyMountsOptions {
  readonly containerId: string;
  /** The user namespace that the container joins. */
  readonly idMap: IdMap | undefined;
  /** Of the low-level runtime. */
  readonly abilities: RuntimeAbilities;
  /** Of the mounts' names, where a container's mounts are made in several goes. */
  readonly prefix?: string;
}

/**
 * Makes the mounts that low-level runtimes cannot, or not all of them: id-mapped ones, views of images, read-only ones in a user
 * namespace (where a remount must keep flags that it does not know of). The others pass through as they are.
 */
export async function readyMounts(
  context: CriContext,
  binds: readonly PlannedBind[],
  options: ReadyMountsOptions,
): Promise<BindRequest[]> {
  const { recursiveReadonly, sharesKernel } = options.abilities;
  const deep = binds.find((bind) => bind.recursiveReadonly && bind.image === undefined);
  if (deep !== undefined && !recursiveReadonly && !sharesKernel) {
    throw new TripodError(
      "failed-precondition",
      `mount ${deep.destination}: this runtime has no recursive read-only mounts; use another handler, or leave them`,
    );
  }
  const ready: BindRequest[] = [];
  for (const [index, bind] of binds.entries()) {
    if (!needsWork(bind, options)) ready.push(bind);
    else {
      const source = join(readyMountsFolder(context, options.containerId), `${options.prefix ?? ""}${index}`);
      mkdirSync(readyMountsFolder(context, options.containerId), { recursive: true, mode: 0o711 });
      if (bind.image === undefined) cloneBind(bind, { source: bind.source, target: source, idMap: options.idMap });
      else await mountImage(context, bind, { ...options, target: source });
      failpoint("cri.container.mount-made");
      ready.push({ ...bind, source, ready: true });
    }
  }
  return ready;
}

const needsWork = (bind: PlannedBind, { idMap, abilities }: ReadyMountsOptions): boolean =>
  bind.image !== undefined ||
  bind.idMapped ||
  (bind.recursiveReadonly && !abilities.recursiveReadonly) ||
  (idMap !== undefined && attributesOf(bind) !== 0);

const optionAttributes: Readonly<Record<string, number>> = {
  nosuid: MOUNT_ATTR.NOSUID,
  nodev: MOUNT_ATTR.NODEV,
  noexec: MOUNT_ATTR.NOEXEC,
};

const attributesOf = ({ readonly, options = [] }: BindRequest): number =>
  options.reduce((bits, option) => bits | (optionAttributes[option] ?? 0), readonly ? MOUNT_ATTR.RDONLY : 0);

function cloneBind(
  bind: PlannedBind,
  { source, target, idMap }: { readonly source: string; readonly target: string; readonly idMap: IdMap | undefined },
): void {
  if (statSync(source).isDirectory()) mkdirSync(target);
  else writeFileSync(target, "", { flag: "wx" });
  try {
    cloneMount(source, target, {
      recursive: true,
      attributes: attributesOf(bind),
      recursiveAttributes: bind.recursiveReadonly,
      follow: bind.propagation === "host-to-container",
      ...(bind.idMapped && idMap !== undefined && { userNamespace: idMap.userNamespace }),
    });
  } catch (error) {
    const isMapping = bind.idMapped && isErrno(error, "EINVAL", "EPERM") && error.syscall === "mount_setattr";
    if (!isMapping) throw error;
    const why = error.errno === "EPERM" ? "it is id-mapped already" : "its file system cannot be id-mapped";
    throw new TripodError(
      "failed-precondition",
      `mount ${bind.destination}: ${bind.source} cannot be shown to a Pod with a user namespace: ${why}; use a volume on ext4, xfs, btrfs or tmpfs, or set hostUsers`,
      { cause: error },
    );
  }
}

async function mountImage(
  context: CriContext,
  bind: PlannedBind,
  {
    containerId,
    idMap,
    target,
  }: { readonly containerId: string; readonly idMap: IdMap | undefined; readonly target: string },
): Promise<void> {
  const view = `${target}.image`;
  const { name = "", subPath = "" } = bind.image ?? {};
  // The words by which the kubelet knows it.
  const what = `ImageVolumeMountFailed: mount ${bind.destination}: image ${JSON.stringify(name.slice(0, 200))}`;
  try {
    await context.images.mountImage(containerId, name, { target: view, ...(idMap !== undefined && { idMap }) });
  } catch (error) {
    throw new TripodError(isTripodError(error) ? error.code : "internal", `${what}: ${messageOf(error)}`, {
      cause: error,
    });
  }
  // A volume is a folder; links in the image stay inside it.
  let folder: number;
  try {
    folder = openInRoot(view, subPath || ".", { flags: O_PATH | constants.O_DIRECTORY });
  } catch (error) {
    if (!isErrno(error, "ENOENT", "ENOTDIR", "ELOOP", "ENAMETOOLONG", "EINVAL")) throw error;
    const why = error.errno === "ENOTDIR" ? "is not a folder" : "does not exist";
    throw new TripodError("not-found", `${what}: sub-path ${JSON.stringify(subPath.slice(0, 200))} ${why}`, {
      cause: error,
    });
  }
  try {
    cloneBind({ ...bind, idMapped: false }, { source: `/proc/self/fd/${folder}`, target, idMap });
  } finally {
    closeSync(folder);
  }
}

/** Takes the mounts away, made whole or by half; those in the container are copies and stay. */
export function removeReadyMounts(context: Pick<CriContext, "layout">, containerId: string): void {
  const folder = readyMountsFolder(context, containerId);
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder)) {
    const target = join(folder, name);
    while (unmount(target, { detach: true, noFollow: true }));
    // Never recursively: were something still mounted here, it would be somebody's data.
    if (lstatSync(target).isDirectory()) rmdirSync(target);
    else rmSync(target);
  }
  rmdirSync(folder);
}

/** Ids of containers that have mounts standing. */
export function readyMountOwners(context: Pick<CriContext, "layout">): string[] {
  const folder = join(context.layout.runDir, "mounts");
  return existsSync(folder) ? readdirSync(folder) : [];
}
