import { join } from "node:path";
import { TripodError } from "@tripod/base";

/** Where a kubelet keeps what belongs to one Pod, in upstream's layout. All paths are absolute. */
export interface PodPaths {
  readonly dir: string;
  readonly volumesDir: string;
  readonly hostsFile: string;
  /** The folder of a volume: `plugin` as in "kubernetes.io~empty-dir". */
  volume(plugin: string, name: string): string;
  /** The link to a block volume's device. */
  device(plugin: string, name: string): string;
  /** The folder for a container's termination messages. */
  container(name: string): string;
  readonly subPathsDir: string;
  /** The bind mount of one volumeMount with a subPath. */
  subPath(volume: string, container: string, index: number): string;
}

/** One path component that comes from the outside: never empty, `.`, `..` or with a slash in it. */
export function safeComponent(name: string): string {
  if (name === "" || name === "." || name === ".." || name.includes("/") || name.includes("\0")) {
    throw new TripodError("invalid", `path component ${JSON.stringify(name)}: is not a plain name`);
  }
  return name;
}

export const podsDirOf = (kubeletDir: string): string => join(kubeletDir, "pods");

/** The paths of the Pod with the given uid. */
export function podPaths(kubeletDir: string, uid: string): PodPaths {
  const dir = join(podsDirOf(kubeletDir), safeComponent(uid));
  const subPathsDir = join(dir, "volume-subpaths");
  return {
    dir,
    volumesDir: join(dir, "volumes"),
    hostsFile: join(dir, "etc-hosts"),
    volume: (plugin, name) => join(dir, "volumes", safeComponent(plugin), safeComponent(name)),
    device: (plugin, name) => join(dir, "volumeDevices", safeComponent(plugin), safeComponent(name)),
    container: (name) => join(dir, "containers", safeComponent(name)),
    subPathsDir,
    subPath: (volume, container, index) =>
      join(subPathsDir, safeComponent(volume), safeComponent(container), String(index)),
  };
}
