import { readFileSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { lgetxattr, llistxattr } from "../files/extended-attributes.ts";
import { cloneMount } from "../mounts/clone-mount.ts";

// A process that uses a file system which the test serves, for the test itself must not wait in it:
// what is there of FILE in FOLDER, and, given where to show it and a user namespace, shows it with that one's owners.
const [folder = "", file = "", shown, userNamespace] = process.argv.slice(2);
const path = join(folder, file);
if (shown !== undefined && userNamespace !== undefined) cloneMount(folder, shown, { userNamespace });
process.stdout.write(
  JSON.stringify({
    names: llistxattr(path),
    values: llistxattr(path).map((name) => lgetxattr(path, name)?.toString()),
    absent: lgetxattr(path, "user.absent") ?? null,
    content: readFileSync(path, "latin1"),
    files: statfsSync(folder).files,
  }),
);
