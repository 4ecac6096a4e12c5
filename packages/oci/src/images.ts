import { type Layout, type Logger, TripodError } from "@tripod/base";
import type { DiskUsage, Image, PullOptions, Rootfs } from "./image.ts";

export interface ImagesOptions {
  readonly layout: Layout;
  readonly log: Logger;
}

const notYet = (what: string): never => {
  throw new TripodError("unimplemented", `${what}: being written`);
};

/**
 * The image store of one instance. Any number of processes (the daemon, the command line) may have it open at once: records are
 * read afresh on every call, and what one process is using is never collected by another.
 */
export class Images implements AsyncDisposable {
  private constructor(_options: ImagesOptions) {}

  static async open(options: ImagesOptions): Promise<Images> {
    return new Images(options);
  }

  /** Fetches and unpacks an image; asking again checks the registry and fetches only what is missing. */
  async pull(_reference: string, _options: PullOptions = {}): Promise<Image> {
    return notYet("pull");
  }

  /** By reference (normalised as docker does), id, or unique prefix of an id (hex, at least 3 digits); undefined when absent. */
  get(_nameOrId: string): Image | undefined {
    return notYet("get");
  }

  /** Every image that is whole. */
  list(): Image[] {
    return notYet("list");
  }

  /** Forgets an image with all its tags and digests; what nothing else uses is deleted. Absent is no error. */
  async remove(_nameOrId: string): Promise<void> {
    return notYet("remove");
  }

  /** Mounts a writable root file system of the image at containersDir/<id>/rootfs; the same call again does nothing. */
  async prepareRootfs(_containerId: string, _imageNameOrId: string): Promise<{ readonly rootfs: string }> {
    return notYet("prepareRootfs");
  }

  /** Unmounts and deletes what prepareRootfs made, also half-made; absent is no error. */
  async removeRootfs(_containerId: string): Promise<void> {
    return notYet("removeRootfs");
  }

  /** What the container has written. Not-found when there is no such root file system. */
  async rootfsUsage(_containerId: string): Promise<DiskUsage> {
    return notYet("rootfsUsage");
  }

  listRootfs(): Rootfs[] {
    return notYet("listRootfs");
  }

  /** What all images take on the disk; `mountpoint` is the folder that holds the snapshots. */
  async fsUsage(): Promise<DiskUsage & { readonly mountpoint: string }> {
    return notYet("fsUsage");
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
