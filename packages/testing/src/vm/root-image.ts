import { createHash } from "node:crypto";
import { existsSync, globSync } from "node:fs";
import { copyFile, mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isNodeError, runCommand } from "@tripod/base";
import { makeExt4 } from "./make-ext4.ts";

/** A kernel and a root file system with systemd as init. */
export interface RootImage {
  readonly kernel: string;
  readonly initrd: string;
  /** ext4. */
  readonly disk: string;
}

/** What every guest has: init, kernel, and what Tripod runs with. */
const basePackages = [
  "linux-image-cloud-amd64",
  "systemd-sysv",
  "dbus",
  "kmod",
  "libatomic1",
  "runc",
  "conmon",
  "nftables",
  "libnftables1",
  "iproute2",
  "catatonit",
  "conntrack",
  "busybox-static",
  "docker-registry",
  "skopeo",
  "ca-certificates",
];

const release = "bookworm";

/** Runs what is on the second disk, and then turns the machine off, come what may. */
const unit = `[Unit]
Description=Tests from the second disk
Wants=dbus.socket
After=dbus.socket
[Service]
Type=oneshot
TimeoutStartSec=infinity
ExecStart=/bin/sh -c 'mkdir -p /work && mount /dev/vdb /work && exec sh /work/guest.sh'
ExecStopPost=/bin/systemctl poweroff --force --force
StandardOutput=file:/dev/ttyS0
StandardError=file:/dev/ttyS0
`;

/** Files of the guest, written before the kernel package makes its initial file system. */
const uploaded = [
  { to: "/etc/systemd/system/tripod-vm.service", text: unit },
  // The initial file system would else hold every driver that there is.
  { to: "/etc/initramfs-tools/conf.d/tripod", text: "MODULES=list\n" },
  { to: "/usr/share/initramfs-tools/modules.d/tripod", text: "virtio_pci\nvirtio_blk\n" },
];

/** How long a root may take to make; it is made of some 150 packages from Debian's servers. */
const makeTimeoutMs = 900_000;

/**
 * The root image with `packages` beside the usual ones, from `cacheDir` or made anew. Its key is all that it follows from, so that a change of
 * the lists makes another; Debian's own updates do not.
 */
export async function rootImage(cacheDir: string, packages: readonly string[] = []): Promise<RootImage> {
  const all = [...new Set([...basePackages, ...packages])];
  const key = createHash("sha256")
    .update(JSON.stringify([release, all, uploaded]))
    .digest("hex")
    .slice(0, 16);
  const folder = join(cacheDir, `root-${key}`);
  const image = { kernel: join(folder, "vmlinuz"), initrd: join(folder, "initrd.img"), disk: join(folder, "root.img") };
  if (existsSync(folder)) return image;
  await mkdir(cacheDir, { recursive: true });
  const making = await mkdtemp(join(cacheDir, "making-"));
  try {
    const root = join(making, "root");
    await makeRoot(root, all);
    await copyFile(only(join(root, "boot/vmlinuz-*")), join(making, "vmlinuz"));
    await copyFile(only(join(root, "boot/initrd.img-*")), join(making, "initrd.img"));
    await makeExt4(join(making, "root.img"), root);
    await rm(root, { recursive: true });
    for (const name of globSync(`${root}-file-*`)) await rm(name);
    await rename(making, folder);
  } catch (error) {
    await rm(making, { recursive: true, force: true });
    // Another run has made the same meanwhile.
    if (!isNodeError(error, "ENOTEMPTY") && !isNodeError(error, "EEXIST")) throw error;
  }
  return image;
}

function only(pattern: string): string {
  const [path] = globSync(pattern);
  if (path === undefined) throw new Error(`virtual machine: there is no ${pattern}; the kernel package has changed`);
  return path;
}

async function makeRoot(root: string, packages: readonly string[]): Promise<void> {
  const uploads: string[] = [];
  for (const [index, { to, text }] of uploaded.entries()) {
    const file = `${root}-file-${index}`;
    await writeFile(file, text);
    uploads.push(`--essential-hook=mkdir -p "$1${dirname(to)}"`, `--essential-hook=upload ${file} ${to}`);
  }
  const left = ["man", "doc", "locale", "info"].map((name) => `--dpkgopt=path-exclude=/usr/share/${name}/*`);
  const what = ["--mode=root", "--format=directory", "--variant=minbase", `--include=${packages.join(",")}`];
  // What it mounts in the root must not outlive it, nor be seen by whoever removes a root that was made by half.
  const alone = ["--mount", "--propagation", "private", "mmdebstrap"];
  await runCommand("unshare", [...alone, ...what, ...left, ...uploads, release, root], { timeoutMs: makeTimeoutMs });
}
