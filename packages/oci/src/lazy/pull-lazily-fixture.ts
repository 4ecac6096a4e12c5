import { layoutOf, silentLogger } from "@tripod/base";
import { Images } from "../images.ts";

// A process that pulls NAME lazily into the store of ROOT, makes the root file system "one" of it, says where that is, and is killed.
const [root = "", name = ""] = process.argv.slice(2);
const images = await Images.open({ layout: layoutOf(root), log: silentLogger });
await images.pull(name, { lazy: {} });
const { rootfs } = await images.prepareRootfs("one", name);
process.stdout.write(`${rootfs}\n`, () => process.kill(process.pid, "SIGKILL"));
