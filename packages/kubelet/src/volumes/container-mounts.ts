import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { MountPropagation } from "@tripod/api/cri";
import type { Container, VolumeMount } from "@tripod/api/kubernetes";
import { messageOf, randomHex } from "@tripod/base";
import { terminationMessagePathOf } from "../containers/container-config.ts";
import { expandVariables } from "../containers/expand-variables.ts";
import { StartError } from "../containers/start-error.ts";
import type { ContainerConfigInit, MountInit } from "../cri/cri-client.ts";
import { type IdRange, mappingsOf } from "../pods/user-namespaces.ts";
import type { MountedVolume } from "./mounted-volume.ts";
import type { PodPaths } from "./pod-paths.ts";
import { bindSubPath } from "./sub-path.ts";

export interface ContainerMountsInput {
  readonly container: Container;
  readonly volumes: ReadonlyMap<string, MountedVolume>;
  readonly environment: ReadonlyMap<string, string>;
  readonly paths: PodPaths;
  /** Undefined for a Pod whose containers see no managed /etc/hosts. */
  readonly hostsFile: string | undefined;
  /** The Pod's own users, as whose the owners in volumes show; the host's when undefined. */
  readonly users?: IdRange | undefined;
}

const propagations: Readonly<Record<string, MountPropagation>> = {
  HostToContainer: MountPropagation.PROPAGATION_HOST_TO_CONTAINER,
  Bidirectional: MountPropagation.PROPAGATION_BIDIRECTIONAL,
};

/** What a container mounts: a path of the host, or an image or a part of it. */
type MountSource =
  | { readonly hostPath: string }
  | { readonly image: { readonly image: string }; readonly imageSubPath: string };

async function sourceOf(mount: VolumeMount, index: number, input: ContainerMountsInput): Promise<MountSource> {
  const volume = input.volumes.get(mount.name);
  if (volume === undefined)
    throw new StartError("CreateContainerConfigError", `volumeMount ${mount.name}: no such volume is mounted`);
  if (volume.kind === "device") {
    const message = `volume ${mount.name} has volumeMode Block, but is specified in volumeMounts; name it in volumeDevices`;
    throw new StartError("CreateContainerConfigError", message);
  }
  const subPath =
    mount.subPathExpr === undefined || mount.subPathExpr === ""
      ? (mount.subPath ?? "")
      : expandVariables(mount.subPathExpr, (name) => input.environment.get(name));
  if (volume.kind === "image") return { image: { image: volume.imageRef }, imageSubPath: subPath };
  if (subPath === "") return { hostPath: volume.hostPath };
  const target = input.paths.subPath(mount.name, input.container.name, index);
  try {
    await bindSubPath(volume.hostPath, subPath, target);
  } catch (cause) {
    const message = `failed to prepare subPath for volumeMount ${JSON.stringify(mount.name)}: ${messageOf(cause)}`;
    throw new StartError("CreateContainerConfigError", message, { cause });
  }
  return { hostPath: target };
}

/** The mounts of a container: its volumes, the Pod's /etc/hosts, and the file for its last words. */
export async function containerMounts(input: ContainerMountsInput): Promise<MountInit[]> {
  const { container, paths } = input;
  const mounts: MountInit[] = [];
  const owners = mappingsOf(input.users);
  for (const [index, mount] of (container.volumeMounts ?? []).entries()) {
    const readonly = mount.readOnly === true || input.volumes.get(mount.name)?.readOnly === true;
    mounts.push({
      containerPath: mount.mountPath.startsWith("/") ? mount.mountPath : `/${mount.mountPath}`,
      ...(await sourceOf(mount, index, input)),
      readonly,
      recursiveReadOnly: readonly && mount.recursiveReadOnly === "Enabled",
      propagation: propagations[mount.mountPropagation ?? ""] ?? MountPropagation.PROPAGATION_PRIVATE,
      ...owners,
    });
  }
  const taken = (path: string): boolean => mounts.some(({ containerPath }) => containerPath === path);
  if (input.hostsFile !== undefined && !taken("/etc/hosts")) {
    mounts.push({ containerPath: "/etc/hosts", hostPath: input.hostsFile, ...owners });
  }
  const messagePath = terminationMessagePathOf(container);
  if (messagePath !== "" && !taken(messagePath)) {
    const folder = paths.container(container.name);
    await mkdir(folder, { recursive: true, mode: 0o750 });
    const file = join(folder, randomHex(4));
    await writeFile(file, "");
    await chmod(file, 0o666); // the container's user writes it, whoever that is
    mounts.push({ containerPath: messagePath, hostPath: file, ...owners });
  }
  return mounts;
}

/** The block devices of a container. */
export function containerDevices(input: ContainerMountsInput): NonNullable<ContainerConfigInit["devices"]> {
  return (input.container.volumeDevices ?? []).map(({ name, devicePath }) => {
    const volume = input.volumes.get(name);
    if (volume === undefined)
      throw new StartError("CreateContainerConfigError", `volumeDevice ${name}: no such volume is mapped`);
    if (volume.kind !== "device") {
      const message = `volume ${name} has volumeMode Filesystem, but is specified in volumeDevices; name it in volumeMounts`;
      throw new StartError("CreateContainerConfigError", message);
    }
    return { containerPath: devicePath, hostPath: volume.devicePath, permissions: volume.readOnly ? "r" : "mrw" };
  });
}
