import { isTripodError, layoutOf, messageOf, silentLogger } from "@tripod/base";
import { Images } from "@tripod/oci";

// A process that pulls each NAME in turn into the store of ROOT. It says "open" when it has opened the store, and "failed CODE MESSAGE" where a
// pull does not succeed.
const [root = "", ...names] = process.argv.slice(2);
try {
  await using images = await Images.open({ layout: layoutOf(root), log: silentLogger });
  process.stdout.write("open\n");
  for (const name of names) await images.pull(name);
} catch (error) {
  process.stdout.write(`failed ${isTripodError(error) ? error.code : "?"} ${messageOf(error)}\n`);
  process.exitCode = 1;
}
