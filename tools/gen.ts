// Generates packages/api/gen from its .proto files.
import { join } from "node:path";
import { runCommand } from "@tripod/base";

const top = join(import.meta.dirname, "..");
const path = `${join(top, "node_modules/.bin")}:${process.env.PATH}`;
await runCommand(join(top, "node_modules/.bin/buf"), ["generate"], {
  cwd: join(top, "packages/api"),
  env: { ...process.env, PATH: path },
});
