import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runCommand } from "@tripod/base";
import { launcherPath } from "../installation.ts";

/** A root file system of busybox-static alone: every applet a hard link to one binary. */
export async function makeRootfs(dir: string): Promise<void> {
  for (const folder of ["bin", "etc", "proc", "sys", "dev", "root", "var/run"])
    mkdirSync(join(dir, folder), { recursive: true });
  mkdirSync(join(dir, "tmp"), { mode: 0o1777 });
  await runCommand("cp", ["/bin/busybox", join(dir, "bin/busybox")]);
  await runCommand(join(dir, "bin/busybox"), ["--install", join(dir, "bin")]);
  writeFileSync(join(dir, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n");
  writeFileSync(join(dir, "etc/group"), "root:x:0:\nnogroup:x:65534:\n");
}

export interface DemoImageOptions {
  /** Where the image is built: a Tripod root of its own. */
  readonly buildRoot: string;
  readonly rootfs: string;
  /** host:port of the registry. */
  readonly registry: string;
}

/** Builds the quickstart's image with `tripod image build` and pushes it, as a user would. Returns what the CLI printed. */
export async function buildAndPush(options: DemoImageOptions): Promise<string> {
  const reference = `${options.registry}/quickstart/busybox:1`;
  const build = [
    "image",
    "build",
    options.rootfs,
    "--tag",
    reference,
    "--cmd",
    "sh",
    "--env",
    "PATH=/bin",
    "--root",
    options.buildRoot,
  ];
  const built = await runCommand(launcherPath, build);
  const pushed = await runCommand(launcherPath, ["image", "push", reference, "--root", options.buildRoot]);
  return `${built.stdout.toString()}${pushed.stdout.toString()}`;
}
