import { statfs } from "node:fs/promises";
import { mountInfo } from "@tripod/linux";
import type { WritableUsage } from "../writable-usage.ts";
import type { Sample } from "./descriptors.ts";

const devices = new Map<string, string>();

/** The device that holds a folder, "/dev/vda"; looked up once, for the mount table may be long. */
function deviceOf(folder: string): string {
  let device = devices.get(folder);
  if (device === undefined) {
    const holds = (mountPoint: string): boolean =>
      mountPoint === "/" || folder === mountPoint || folder.startsWith(`${mountPoint}/`);
    // Of mounts on the same place the last one counts.
    const [mount] = mountInfo()
      .filter((entry) => holds(entry.mountPoint))
      .toReversed()
      .toSorted((a, b) => b.mountPoint.length - a.mountPoint.length);
    device = mount?.source ?? "";
    devices.set(folder, device);
  }
  return device;
}

/** The disk below containers' root file systems, and what one of them has written to it, and may. */
export async function diskSamples(
  folder: string,
  { written, limit }: { readonly written: WritableUsage | undefined; readonly limit: number | undefined },
): Promise<Sample[]> {
  const labels = [deviceOf(folder)];
  const { blocks, bsize, files, ffree } = await statfs(folder);
  return [
    { name: "container_fs_inodes_free", value: ffree, labels },
    { name: "container_fs_inodes_total", value: files, labels },
    { name: "container_fs_limit_bytes", value: Math.min(limit ?? Number.POSITIVE_INFINITY, blocks * bsize), labels },
    ...(written === undefined ? [] : ([{ name: "container_fs_usage_bytes", value: written.bytes, labels }] as const)),
  ];
}
