import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { silentLogger } from "@tripod/base";
import { Images, type ImageSpec } from "@tripod/oci";
import { makeBusyboxRootfs } from "./busybox-rootfs.ts";
import { tempRoot } from "./temp-root.ts";

/**
 * Builds an image of busybox with Tripod's own builder and pushes it to the registry at `host` as `name` ("busybox:1" unless
 * told). Returns the whole name, "127.0.0.1:PORT/busybox:1".
 */
export async function pushBusybox(
  registry: { readonly host: string },
  name = "busybox:1",
  options: { readonly spec?: ImageSpec } = {},
): Promise<string> {
  await using root = tempRoot();
  const context = join(root.path, "rootfs");
  await mkdir(context);
  await makeBusyboxRootfs(context);
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
