import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { layoutOf, silentLogger } from "@tripod/base";
import { Images } from "../images.ts";

// A process for crash.test.ts and artifact.test.ts: does everything once with the store; TRIPOD_FAILPOINT kills it somewhere on the way.

const [root = "", name = ""] = process.argv.slice(2);
const failpoint = process.env.TRIPOD_FAILPOINT ?? "";
/** A new folder beside the store. */
const folder = (path: string): string => {
  mkdirSync(join(root, path));
  return join(root, path);
};

await using images = await Images.open({ layout: layoutOf(root), log: silentLogger });
const image = await images.pull(name);
if (failpoint === "oci.artifact.placed") await images.mount(image.id);
await images.prepareRootfs("c1", image.id);
if (failpoint === "oci.view.recorded") await images.mountImage("c1", image.id, { target: folder("view") });
await images.removeRootfs("c1");
if (failpoint.startsWith("oci.mount.")) {
  await images.mount(image.id);
  images.unmount({ imageId: image.id });
}
if (failpoint === "oci.blob.written") {
  const context = folder("context");
  writeFileSync(join(context, "file"), "built");
  await images.build({ context, tags: ["built"] });
}
if (failpoint === "oci.prune.forgotten") await images.prune({ all: true });
await images.remove(image.id);
