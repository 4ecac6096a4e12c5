import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { CSIDriver, Pod, SELinuxOptions } from "@tripod/api/kubernetes";
import { allContainers } from "../pods/pod-facts.ts";
import type { CsiVolume } from "./csi-spec.ts";

/** What containers' files have where the machine's policy names nothing else. */
const usualFileContext = "system_u:object_r:container_file_t:s0";

/** The options with which every container that mounts the volume runs; undefined when they differ or have none. */
function commonOptions(pod: Pod, volumeName: string): SELinuxOptions | undefined {
  const users = allContainers(pod).filter(({ volumeMounts = [] }) =>
    volumeMounts.some(({ name }) => name === volumeName),
  );
  const options = users.map(
    ({ securityContext }) => securityContext?.seLinuxOptions ?? pod.spec?.securityContext?.seLinuxOptions,
  );
  return new Set(options.map((each) => JSON.stringify(each))).size === 1 ? options[0] : undefined;
}

/** The context of containers' files in the machine's policy. */
function fileContext(root: string): string {
  try {
    const config = readFileSync(join(root, "etc/selinux/config"), "utf8");
    const policy = /^SELINUXTYPE=(\S+)/m.exec(config)?.[1] ?? "targeted";
    const contexts = readFileSync(join(root, "etc/selinux", policy, "contexts/lxc_contexts"), "utf8");
    return /^\s*file\s*=\s*"?([^"\s]+)/m.exec(contexts)?.[1] ?? usualFileContext;
  } catch {
    return usualFileContext; // a policy without container contexts
  }
}

/**
 * The context that a whole volume is mounted with, instead of one file after another being relabelled: where the kernel has SELinux, the
 * driver knows the mount option, and one Pod alone uses the volume. Undefined everywhere else.
 */
export function seLinuxMountLabel(
  pod: Pod,
  volumeName: string,
  {
    volume,
    driver,
    root = "/",
  }: { readonly volume: CsiVolume; readonly driver: CSIDriver | undefined; readonly root?: string },
): string | undefined {
  const { accessModes, block } = volume;
  if (driver?.spec?.seLinuxMount !== true || block || accessModes.join() !== "ReadWriteOncePod") return undefined;
  if (pod.spec?.securityContext?.seLinuxChangePolicy === "Recursive") return undefined;
  if (!existsSync(join(root, "sys/fs/selinux/enforce"))) return undefined;
  const options = commonOptions(pod, volumeName);
  if (options === undefined) return undefined;
  const [user = "", role = "", type = "", ...level] = fileContext(root).split(":");
  return [options.user ?? user, role, type, options.level ?? level.join(":")].join(":");
}
