import { layoutOf, silentLogger } from "@tripod/base";
import { Images } from "../images.ts";

// A process for crash.test.ts: does everything once with the store; TRIPOD_FAILPOINT kills it somewhere on the way.

const [root = "", name = ""] = process.argv.slice(2);
await using images = await Images.open({ layout: layoutOf(root), log: silentLogger });
const image = await images.pull(name);
await images.prepareRootfs("c1", image.id);
await images.removeRootfs("c1");
if (process.env.TRIPOD_FAILPOINT?.startsWith("oci.mount.")) {
  await images.mount(image.id);
  images.unmount({ imageId: image.id });
}
await images.remove(image.id);
