import { chownSync, closeSync, constants, mkdirSync, readlinkSync } from "node:fs";
import { join, posix } from "node:path";
import { failpoint, isTripodError, runCommand, TripodError } from "@tripod/base";
import { openInRoot } from "@tripod/linux";
import type { BindRequest } from "@tripod/oci";
import { type CriContext, imageVolumesOf } from "../context.ts";

/** Who root of the container is on the host. */
interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** An image's own volumes that nothing else is mounted on, as clean absolute paths. */
export function imageVolumePaths(declared: Readonly<Record<string, object>>, taken: ReadonlySet<string>): string[] {
  const paths = Object.keys(declared).map((path) => posix.resolve("/", path));
  return [...new Set(paths)].filter((path) => path !== "/" && !taken.has(path)).sort();
}

/** Where `path` of the root file system lies on the host, links resolved inside it; undefined when it is not there. */
function folderInRoot(rootfs: string, path: string): string | undefined {
  let fd: number;
  try {
    fd = openInRoot(rootfs, path, { flags: constants.O_RDONLY | constants.O_DIRECTORY });
  } catch (error) {
    if (isTripodError(error, "not-found")) return undefined;
    throw error;
  }
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } finally {
    closeSync(fd);
  }
}

/**
 * Makes an anonymous volume for each path that the image declares to be one: a folder of the container's own, filled with what the image
 * has there, that stays writable when the root is not and goes with the container.
 */
export async function makeImageVolumes(
  context: CriContext,
  container: {
    readonly id: string;
    readonly rootfs: string;
    readonly paths: readonly string[];
    readonly owner?: Owner;
  },
): Promise<BindRequest[]> {
  const binds: BindRequest[] = [];
  // What may be written to a limited container is limited here, too.
  const folder = context.images.limitedPlace(container.id) ?? imageVolumesOf(context, container.id);
  for (const [index, destination] of container.paths.entries()) {
    const source = join(folder, String(index));
    mkdirSync(source, { recursive: true, mode: 0o755 });
    if (container.owner !== undefined) chownSync(source, container.owner.uid, container.owner.gid);
    failpoint("cri.container.volume-made");
    const content = folderInRoot(container.rootfs, destination);
    if (content !== undefined) {
      // Nothing runs in the container yet that could change what is copied, or where the path leads.
      try {
        await runCommand("cp", ["-a", "--reflink=auto", "--", `${content}/.`, source]);
      } catch (cause) {
        throw new TripodError("internal", `container: copy ${destination} of the image into its volume failed`, {
          cause,
        });
      }
    }
    binds.push({ destination, source, readonly: false, recursiveReadonly: false, propagation: "private" });
  }
  return binds;
}
