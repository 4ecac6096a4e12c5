import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { runCommand, silentLogger } from "@tripod/base";
import { Images, type ImageSpec } from "@tripod/oci";
import { makeBusyboxRootfs } from "./busybox-rootfs.ts";
import { tempRoot } from "./temp-root.ts";

export interface PushOptions {
  /** Command and the like; a shell unless told. */
  readonly spec?: ImageSpec;
  /** Folders with more that is in the image. */
  readonly trees?: readonly string[];
}

/**
 * Builds an image of busybox with Tripod's own builder and pushes it to the registry at `host` as `name` ("busybox:1" unless
 * told). Returns the whole name, "127.0.0.1:PORT/busybox:1".
 */
export async function pushBusybox(
  registry: { readonly host: string },
  name = "busybox:1",
  options: PushOptions = {},
): Promise<string> {
  await using root = tempRoot();
  const context = join(root.path, "rootfs");
  await mkdir(context);
  await makeBusyboxRootfs(context);
  // busybox's /sbin is a link to a folder, which those of the trees go into.
  const merge = 'tar -C "$0" -cf - . | tar -C "$1" --keep-directory-symlink -xf -';
  for (const tree of options.trees ?? []) await runCommand("sh", ["-c", merge, tree, context]);
  await using images = await Images.open({ layout: root.layout, log: silentLogger });
  const whole = `${registry.host}/${name}`;
  await images.build({
    context,
    tags: [whole],
    spec: { cmd: ["/bin/sh"], env: { PATH: "/bin:/sbin" }, ...options.spec },
  });
  await images.push(whole);
  return whole;
}
