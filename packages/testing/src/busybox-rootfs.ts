import { existsSync } from "node:fs";
import { copyFile, chmod, mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runCommand, TripodError } from "@tripod/base";

/** Where Debian's busybox-static and others put it. */
const candidates = ["/bin/busybox", "/usr/bin/busybox"];

/** Fills `dir` with a small but whole root file system: busybox with all its commands, users, folders. */
export async function makeBusyboxRootfs(dir: string): Promise<void> {
  const busybox = candidates.find((path) => existsSync(path));
  if (busybox === undefined) {
    throw new TripodError(
      "not-found",
      "make busybox root file system: busybox is not installed; apt-get install busybox-static",
    );
  }
  for (const folder of [
    "bin",
    "dev",
    "etc",
    "home",
    "proc",
    "root",
    "sys",
    "tmp",
    "usr/bin",
    "usr/sbin",
    "var/log",
    "var/tmp",
    "www",
  ]) {
    await mkdir(join(dir, folder), { recursive: true });
  }
  await chmod(join(dir, "root"), 0o700);
  for (const folder of ["tmp", "var/tmp"]) await chmod(join(dir, folder), 0o1777);
  await copyFile(busybox, join(dir, "bin/busybox"));
  await chmod(join(dir, "bin/busybox"), 0o755);
  const { stdout } = await runCommand(busybox, ["--list"]);
  for (const applet of stdout.toString().split("\n")) {
    if (applet !== "" && applet !== "busybox") await symlink("busybox", join(dir, "bin", applet));
  }
  await symlink("bin", join(dir, "sbin"));
  await writeFile(
    join(dir, "etc/passwd"),
    "root:x:0:0:root:/root:/bin/sh\nwww:x:80:80:www:/www:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/false\n",
  );
  await writeFile(join(dir, "etc/group"), "root:x:0:\nwww:x:80:\nnogroup:x:65534:\n");
  await writeFile(join(dir, "etc/nsswitch.conf"), "hosts: files dns\n");
}
