import { readdirSync } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { VolumeCapability } from "@tripod/api/csi";
import { failpoint, TripodError } from "@tripod/base";
import {
  closeImage,
  type Content,
  diskProblems,
  diskSpace,
  isForManyNodes,
  makeStateFolders,
  type OpenVolume,
  openImage,
  type RangesRequest,
  showsImage,
  sizeImage,
  type SnapshotPlan,
  type StoredVolume,
  type VolumeStorage,
} from "@tripod/csi/local";
import { isMountPoint, loopsOf } from "@tripod/linux";
import { ext4Bytes } from "./ext4.ts";
import { fileSystems, isFsType, makeFileSystem, runTool } from "@tripod/csi/file-systems";
import { applyParameters, growInUse, mountImage, unmountImage } from "./image-mount.ts";
import { imageProblems } from "./image-problems.ts";
import { allocatedRanges, changedRanges } from "./image-ranges.ts";
import { copyAtOneMoment, thawImage } from "./one-moment.ts";
import { refusedMutable, refusedParameters } from "./parameters.ts";

/** Volumes as sparse files under one state folder. What is being made is in `making` and moves when whole. */
export class ImageStorage implements VolumeStorage {
  readonly #dir: string;

  constructor(stateDir: string) {
    this.#dir = makeStateFolders(stateDir, ["volumes", "snapshots", "making", "mounts"]);
  }

  async recover(known: ReadonlySet<string>): Promise<void> {
    const names = (folder: string): string[] => readdirSync(join(this.#dir, folder));
    for (const name of names("volumes")) await thawImage(join(this.#dir, "volumes", name));
    for (const name of names("making")) await rm(join(this.#dir, "making", name));
    for (const name of names("volumes")) if (!known.has(name)) await this.remove(name);
    for (const name of names("snapshots")) if (!known.has(name)) await this.removeSnapshot(name);
  }

  unsupported(capability: VolumeCapability): string | undefined {
    const { accessType } = capability;
    if (isForManyNodes(capability))
      return "a file of one node cannot be used from several; use ReadWriteOnce or ReadWriteOncePod";
    const fsType = accessType.case === "mount" ? this.fsTypeOf(accessType.value.fsType) : "ext4";
    return isFsType(fsType)
      ? undefined
      : `file system ${JSON.stringify(fsType)} is none of ${Object.keys(fileSystems).join(", ")}`;
  }

  refusedParameters(parameters: Readonly<Record<string, string>>): string | undefined {
    return refusedParameters(parameters);
  }

  refusedMutable(parameters: Readonly<Record<string, string>>): string | undefined {
    return refusedMutable(parameters);
  }

  fsTypeOf(asked: string): string {
    return asked === "" ? "ext4" : asked;
  }

  leastBytes({ accessType, fsType }: Pick<StoredVolume, "accessType" | "fsType">): bigint {
    return accessType === "mount" && isFsType(fsType) ? fileSystems[fsType].leastBytes : 4096n;
  }

  space() {
    return diskSpace(this.#dir);
  }

  async make(volume: StoredVolume, content: Content | undefined): Promise<void> {
    const { fsType, accessType, storageId, capacityBytes: bytes } = volume;
    const making = join(this.#dir, "making", storageId);
    await rm(making, { force: true });
    await this.remove(storageId); // whole, but not recorded
    if (content === undefined) await (await open(making, "wx", 0o600)).close();
    else {
      const isBlock = content.kind === "volume" && content.volume.accessType === "block";
      await copyAtOneMoment([{ source: this.#sourceOf(content), target: making, isBlock }]);
    }
    failpoint("loop.create.copied");
    await sizeImage(making, { bytes, reserve: volume.parameters.allocation === "thick" });
    if (accessType === "mount" && isFsType(fsType)) {
      if (content === undefined) await makeFileSystem(making, fsType);
      // The kernel would take two btrfs of one identity for one.
      else if (fsType === "btrfs") await runTool("btrfstune", ["-f", "-m", making], fsType);
    }
    failpoint("loop.create.file-system-made");
    await rename(making, this.#image(storageId));
  }

  #sourceOf(content: Content): string {
    return content.kind === "snapshot" ? this.#snapshot(content.storageId) : this.#image(content.volume.storageId);
  }

  async remove(storageId: string): Promise<void> {
    const image = this.#image(storageId);
    unmountImage(image, this.#ownMount(storageId));
    closeImage(image);
    await rm(this.#ownMount(storageId), { recursive: true, force: true });
    await rm(image, { force: true });
  }

  async takeSnapshots(plans: readonly SnapshotPlan[]): Promise<void> {
    const making = ({ storageId }: SnapshotPlan): string => join(this.#dir, "making", storageId);
    for (const plan of plans) await rm(making(plan), { force: true });
    await copyAtOneMoment(
      plans.map((plan) => ({
        source: this.#image(plan.volume.storageId),
        target: making(plan),
        isBlock: plan.volume.accessType === "block",
      })),
    );
    failpoint("loop.snapshot.copied");
    for (const plan of plans) await rename(making(plan), this.#snapshot(plan.storageId));
  }

  removeSnapshot(storageId: string): Promise<void> {
    return rm(this.#snapshot(storageId), { force: true });
  }

  grow(volume: StoredVolume): Promise<void> {
    return sizeImage(this.#image(volume.storageId), {
      bytes: volume.capacityBytes,
      reserve: volume.parameters.allocation === "thick",
    });
  }

  async modify(volume: StoredVolume): Promise<void> {
    for (const { path } of loopsOf(this.#image(volume.storageId))) applyParameters(path, volume);
  }

  async stage(volume: StoredVolume, path: string, capability: VolumeCapability): Promise<void> {
    if (volume.accessType === "mount")
      await mountImage(volume, { image: this.#image(volume.storageId), path, capability });
  }

  async unstage({ storageId }: StoredVolume, path: string): Promise<void> {
    unmountImage(this.#image(storageId), path);
  }

  async open(volume: StoredVolume, { stagingPath, readonly }: OpenVolume): Promise<string> {
    const image = this.#image(volume.storageId);
    if (volume.accessType === "block") {
      const device = openImage(image, { readonly });
      applyParameters(device, volume);
      return device;
    }
    if (stagingPath === "") {
      await mountImage(volume, { image, path: this.#ownMount(volume.storageId) });
      return this.#ownMount(volume.storageId);
    }
    if (showsImage(image, stagingPath)) return stagingPath;
    throw new TripodError(
      "failed-precondition",
      `volume ${volume.volumeId}: it is not staged at ${stagingPath}; call NodeStageVolume first`,
    );
  }

  async close({ accessType, storageId }: StoredVolume): Promise<void> {
    if (accessType === "block") closeImage(this.#image(storageId));
    else unmountImage(this.#image(storageId), this.#ownMount(storageId));
  }

  isShownAt({ storageId }: StoredVolume, path: string): boolean {
    return isMountPoint(path) && showsImage(this.#image(storageId), path);
  }

  async expandInUse(volume: StoredVolume, path: string): Promise<bigint> {
    const image = this.#image(volume.storageId);
    const isGrown = volume.fsType === "ext4" && (await ext4Bytes(image)) + 4096n > volume.capacityBytes;
    if (!isGrown) await growInUse(volume, image, path);
    return volume.capacityBytes;
  }

  problems({ storageId }: StoredVolume) {
    return imageProblems(this.#image(storageId));
  }

  storageProblems() {
    return diskProblems(this.#dir);
  }

  ranges({ storageId, baseStorageId, startingOffset, signal }: RangesRequest) {
    const [image, start] = [this.#snapshot(storageId), Number(startingOffset)];
    return baseStorageId === undefined
      ? allocatedRanges(image, start, signal)
      : changedRanges(this.#snapshot(baseStorageId), image, { start, signal });
  }

  #image(storageId: string): string {
    return join(this.#dir, "volumes", storageId);
  }

  #snapshot(storageId: string): string {
    return join(this.#dir, "snapshots", storageId);
  }

  /** Where a volume is mounted that nobody stages. */
  #ownMount(storageId: string): string {
    return join(this.#dir, "mounts", storageId);
  }
}
