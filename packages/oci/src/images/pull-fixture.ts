import { layoutOf, silentLogger } from "@tripod/base";
import { Images } from "../images.ts";

// A process that pulls each NAME in turn into the store of ROOT: a line "STATE DIGEST" for each change of a layer, one "pulled NAME" for each image.
const [root = "", ...names] = process.argv.slice(2);
await using images = await Images.open({ layout: layoutOf(root), log: silentLogger });
const states = new Map<string, string>();
for (const name of names) {
  await images.pull(name, {
    onProgress({ digest, state }) {
      if (states.get(digest) !== state) process.stdout.write(`${state} ${digest}\n`);
      states.set(digest, state);
    },
  });
  process.stdout.write(`pulled ${name}\n`);
}
