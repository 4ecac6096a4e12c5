import { TripodError } from "@tripod/base";
import { pluginMarker } from "@tripod/cni";

export interface LauncherOptions {
  /** The path of Node. */
  readonly interpreter: string;
  /** The plugin's name. */
  readonly name: string;
  /** The folder of the program, with a folder `compiled` in it. */
  readonly program: string;
}

/**
 * With the usual nursery of 1 MB V8 collects garbage twice in a plugin's life, 2 to 3 ms in all. The first line takes one option at
 * most: the kernel hands all of it over as one argument.
 */
const option = "--min-semi-space-size=8";

/**
 * The text of a plugin's executable: Node itself is the script's interpreter, so that no shell stands between.
 *
 * What V8 compiled is kept by plugin and command, as it is at the end of the first call that succeeded: Node's own compile cache
 * would keep only what is compiled before anything runs, and each call would compile anew what it calls. It is on the disk before it
 * gets its name, for V8 believes what it is given. One that this V8 does not take is replaced.
 */
export function launcher({ interpreter, name, program }: LauncherOptions): string {
  // The kernel cuts the first line at 255 bytes and splits it at the first space.
  if (/\s/.test(interpreter) || Buffer.byteLength(`#!${interpreter} ${option}`) > 250) {
    throw new TripodError(
      "failed-precondition",
      `install CNI plugins: the path of Node, ${interpreter}, cannot stand in a #! line; move the checkout to a short path without spaces`,
    );
  }
  return `#!${interpreter} ${option}
// ${pluginMarker}: written by Tripod, replaced by: tripod cni install
const { readFileSync, renameSync, writeFileSync } = require("node:fs");
const { Script } = require("node:vm");
const folder = ${JSON.stringify(program)};
const filename = folder + "/tripod-cni.cjs";
const [command] = /^(ADD|DEL|CHECK|GC|STATUS|VERSION)$/.exec(process.env.CNI_COMMAND) ?? [];
const compiled = folder + "/compiled/${name}-" + command;
let cachedData;
try {
  cachedData = readFileSync(compiled);
} catch {} // nothing yet
const script = new Script("(function (require, __dirname) {" + readFileSync(filename, "latin1") + "\\n})", { filename, cachedData });
process.on("exit", (code) => {
  if (code !== 0 || command === undefined || script.cachedDataRejected === false) return;
  try {
    writeFileSync(compiled + "." + process.pid, script.createCachedData(), { mode: 0o600, flush: true });
    renameSync(compiled + "." + process.pid, compiled);
  } catch {} // not ours to write: compiled again each time
});
script.runInThisContext()(require, folder);
`;
}
