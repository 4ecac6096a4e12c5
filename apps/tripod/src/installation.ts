import { existsSync } from "node:fs";
import { join } from "node:path";

const here = import.meta.dirname;

/** The folder of the checkout, or of the released package, whose files all stand beside one another. */
export const installationDir = existsSync(join(here, "installation.ts")) ? join(here, "../../..") : here;

/** The CLI as a user calls it. */
export const launcherPath = join(installationDir, "tripod");
