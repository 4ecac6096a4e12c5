import { appendFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { silentLogger } from "@tripod/base";
import { Images, type ImageSpec } from "@tripod/oci";
import { makeBusyboxRootfs, tempRoot } from "@tripod/testing";

/** The suite's images beside the plain one: by name below "conformance/", how each differs from it. All have ids of their own. */
const variants: Readonly<Record<string, ImageSpec & { readonly alsoTagged?: readonly string[] }>> = {
  "busybox:1": {},
  "entry:1": {
    entrypoint: ["/bin/echo", "entry"],
    cmd: ["from", "image"],
    env: { PATH: "/bin:/sbin", FROM_IMAGE: "image", BOTH: "image" },
    workdir: "/www",
  },
  "stop-usr1:1": { stopSignal: "SIGUSR1" },
  "user-uid:1": { user: "1002" },
  "user-name:1": { user: "www" },
  "user-uid-group:1": { user: "1003:1004" },
  "user-name-group:1": { user: "www:1004" },
  "member:1": { user: "1000" },
  "tags:1": { alsoTagged: ["tags:2", "tags:3"] },
  "shared-tags:1": { alsoTagged: ["shared-tags:2", "shared-tags:3"] },
  "different:1": {},
  "different:2": {},
  "different:3": {},
  "untagged:latest": {},
  ...Object.fromEntries(
    [
      "tagged",
      "digest",
      "references",
      "removal",
      "racing",
      "repeated",
      "ids",
      "registries",
      "deadline",
      "cancelled",
      "filtered",
      "streamed",
      "in-use",
      "together",
      "volume",
    ].map((name) => [`${name}:1`, {}]),
  ),
};

/** Builds the suite's images, all of Debian's busybox, and pushes them to a registry. */
export async function pushImages(registry: string): Promise<void> {
  await using root = tempRoot();
  const context = join(root.path, "rootfs");
  mkdirSync(context);
  await makeBusyboxRootfs(context);
  // A user of the image who belongs to a group of the image.
  appendFileSync(join(context, "etc/passwd"), "member:x:1000:1000:member:/home:/bin/sh\n");
  appendFileSync(join(context, "etc/group"), "member:x:1000:\nof-the-image:x:50000:member\n");
  mkdirSync(join(context, "data/inner"), { recursive: true });
  writeFileSync(join(context, "data/file"), "of the volume\n");
  writeFileSync(join(context, "data/inner/file"), "of the inner folder\n");
  await using images = await Images.open({ layout: root.layout, log: silentLogger });
  const whole = (name: string): string => `${registry}/conformance/${name}`;
  const plain = whole("plain:1");
  await images.build({ context, tags: [plain], spec: { cmd: ["/bin/sh"], env: { PATH: "/bin:/sbin" } } });
  const nothing = join(root.path, "nothing");
  mkdirSync(nothing);
  for (const [name, { alsoTagged = [], ...spec }] of Object.entries(variants)) {
    const tags = [name, ...alsoTagged].map(whole);
    await images.build({ context: nothing, tags, spec: { from: plain, labels: { name }, ...spec } });
    for (const tag of tags) await images.push(tag);
  }
}
