import { existsSync, readdirSync, statSync } from "node:fs";
import { chmod, open, rename } from "node:fs/promises";
import { join } from "node:path";
import { type VolumeCapability, VolumeHealthErrorType } from "@tripod/api/csi";
import { failpoint } from "@tripod/base";
import {
  bindFlags,
  closeImage,
  type Content,
  diskProblems,
  diskProblemsOfVolume,
  diskSpace,
  type HealthProblem,
  isForManyNodes,
  makeStateFolders,
  type OpenVolume,
  openImage,
  showsImage,
  sizeImage,
  type SnapshotPlan,
  type StoredVolume,
  type VolumeStorage,
} from "@tripod/csi/local";
import { isMountPoint, isSubvolume, limitSubvolume } from "@tripod/linux";
import { copyTree, makeFolder, removeTree } from "./trees.ts";
import { VolumeProjects } from "./volume-projects.ts";

const folders = ["volumes", "blocks", "snapshots", "making"];

/** Volumes as folders, or for block devices as sparse files, under one state folder. What is being made is in `making` and moves when whole. */
export class FolderStorage implements VolumeStorage {
  readonly #dir: string;
  readonly #projects: VolumeProjects;

  constructor(stateDir: string) {
    this.#dir = makeStateFolders(stateDir, folders);
    this.#projects = new VolumeProjects(join(this.#dir, "projects"));
  }

  async recover(known: ReadonlySet<string>): Promise<void> {
    for (const folder of folders)
      for (const name of readdirSync(join(this.#dir, folder)))
        if (folder === "making" || !known.has(name)) await removeTree(join(this.#dir, folder, name));
    for (const name of this.#projects.names()) if (!known.has(name)) this.#projects.release(name);
  }

  unsupported(capability: VolumeCapability): string | undefined {
    const { accessType } = capability;
    if (isForManyNodes(capability))
      return "a folder of one node cannot be used from several; use ReadWriteOnce or ReadWriteOncePod";
    const flags = accessType.case === "mount" ? accessType.value.mountFlags : [];
    const unknown = flags.filter((flag) => !bindFlags.includes(flag));
    return unknown.length === 0 ? undefined : `mount flags ${unknown.join(", ")} are none of ${bindFlags.join(", ")}`;
  }

  refusedParameters(parameters: Readonly<Record<string, string>>): string | undefined {
    const unknown = Object.keys(parameters);
    return unknown.length === 0
      ? undefined
      : `parameters ${unknown.join(", ")} are unknown; the StorageClass needs none`;
  }

  /** Files lie on the node's own file system, whatever is asked for. */
  fsTypeOf(): string {
    return "";
  }

  leastBytes(): bigint {
    return 1n;
  }

  space() {
    return diskSpace(this.#dir);
  }

  async make(volume: StoredVolume, content: Content | undefined): Promise<void> {
    const made = this.#path(volume);
    const source =
      content?.kind === "snapshot"
        ? join(this.#dir, "snapshots", content.storageId)
        : content && this.#path(content.volume);
    const making = join(this.#dir, "making", volume.storageId);
    await removeTree(making);
    await removeTree(made); // whole, but not recorded
    await using undo = new AsyncDisposableStack();
    undo.defer(() => this.#projects.release(volume.storageId));
    undo.defer(() => removeTree(making));
    const project = volume.accessType === "mount" ? this.#projects.choose(volume.storageId) : undefined;
    failpoint("hostpath.create.project-chosen");
    // A copy is of the project, too, when its folder is there before.
    if (volume.accessType === "mount" && (source === undefined || project !== undefined))
      await makeFolder(making, project);
    if (source !== undefined) await copyTree(source, making);
    else if (volume.accessType === "block") await (await open(making, "wx", 0o600)).close();
    failpoint("hostpath.create.copied");
    await this.#limit(volume, making);
    if (volume.accessType === "mount" && source === undefined) await chmod(making, 0o777);
    await rename(making, made);
    undo.move();
  }

  async remove(storageId: string): Promise<void> {
    closeImage(join(this.#dir, "blocks", storageId));
    await removeTree(join(this.#dir, "blocks", storageId));
    await removeTree(join(this.#dir, "volumes", storageId));
    this.#projects.release(storageId);
  }

  async takeSnapshots(plans: readonly SnapshotPlan[]): Promise<void> {
    const making = ({ storageId }: SnapshotPlan): string => join(this.#dir, "making", storageId);
    for (const plan of plans) await removeTree(making(plan));
    await Promise.all(plans.map((plan) => copyTree(this.#path(plan.volume), making(plan))));
    failpoint("hostpath.snapshot.copied");
    for (const plan of plans) {
      await this.removeSnapshot(plan.storageId); // whole, but not recorded
      await rename(making(plan), join(this.#dir, "snapshots", plan.storageId));
    }
  }

  removeSnapshot(storageId: string): Promise<void> {
    return removeTree(join(this.#dir, "snapshots", storageId));
  }

  grow(volume: StoredVolume): Promise<void> {
    return this.#limit(volume, this.#path(volume));
  }

  async open(volume: StoredVolume, options: OpenVolume): Promise<string> {
    if (volume.accessType === "block") return openImage(this.#path(volume), options);
    // The file system may have been mounted without quotas when the volume last grew.
    this.#projects.limit(volume.storageId, volume.capacityBytes);
    return this.#path(volume);
  }

  async close(volume: StoredVolume): Promise<void> {
    if (volume.accessType === "block") closeImage(this.#path(volume));
  }

  isShownAt(volume: StoredVolume, path: string): boolean {
    if (!isMountPoint(path)) return false;
    if (volume.accessType === "block") return showsImage(this.#path(volume), path);
    // A bind mount has the inode of what it shows.
    const [folder, target] = [this.#path(volume), path].map((each) => statSync(each, { throwIfNoEntry: false }));
    return folder !== undefined && target !== undefined && folder.dev === target.dev && folder.ino === target.ino;
  }

  async problems(volume: StoredVolume): Promise<HealthProblem[]> {
    if (existsSync(this.#path(volume))) return diskProblemsOfVolume(this.#dir);
    const message = `${this.#path(volume)} is gone; restore the volume from a snapshot or a backup`;
    return [{ status: VolumeHealthErrorType.DATA_LOSS, reason: "DataGone", message }];
  }

  storageProblems() {
    return diskProblems(this.#dir);
  }

  /** Keeps a volume within its size, where the file system can. */
  async #limit({ accessType, storageId, capacityBytes }: StoredVolume, path: string): Promise<void> {
    if (accessType === "block") await sizeImage(path, { bytes: capacityBytes, reserve: false });
    else if (isSubvolume(path)) await limitSubvolume(path, Number(capacityBytes));
    else this.#projects.limit(storageId, capacityBytes);
  }

  #path({ accessType, storageId }: StoredVolume): string {
    return join(this.#dir, accessType === "mount" ? "volumes" : "blocks", storageId);
  }
}
