import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { unmount } from "@tripod/linux";
import { setFsGroup } from "./fs-group.ts";
import { bindSubPath } from "./sub-path.ts";

let root: string;
let outside: string;
let volume: string;

before(() => {
  root = mkdtempSync("/tmp/tripod-escape-");
  outside = join(root, "outside");
  volume = join(root, "volume");
  for (const dir of [outside, join(outside, "sub"), volume, join(volume, "real/sub")])
    mkdirSync(dir, { recursive: true });
  for (const dir of [outside, join(outside, "sub")]) writeFileSync(join(dir, "secret"), "of the host");
  writeFileSync(join(volume, "real/sub/own"), "of the volume");
});
after(() => rm(root, { recursive: true, force: true }));

const target = (): string => join(root, "pod/volume-subpaths/v/c/0");

function unbind(): void {
  while (unmount(target(), { detach: true, noFollow: true }));
}

for (const [name, to] of [
  ["a link upwards", "../outside"],
  ["a link upwards from the root", "../../../../../../etc"],
  ["an absolute link", "/etc"],
  ["a link to a link", "hop"],
] as const) {
  test(`a subPath through ${name} stays inside the volume`, async () => {
    const link = join(volume, "link");
    await rm(link, { force: true });
    await rm(join(volume, "hop"), { force: true });
    symlinkSync("../outside", join(volume, "hop"));
    symlinkSync(to, link);
    try {
      await bindSubPath(volume, "link/sub", target());
      assert.equal(existsSync(join(target(), "secret")), false);
      assert.equal(existsSync(join(target(), "passwd")), false);
    } catch (error) {
      assert.match(String(error), /ENOENT|ELOOP|ENOTDIR|EEXIST|EXDEV|not a directory|no such file/i);
    } finally {
      unbind();
    }
    assert.deepEqual(statSync(join(outside, "secret")).gid, 0);
  });
}

for (const path of ["../outside", "/etc", "real/../../outside"]) {
  test(`the subPath ${path} is refused`, async () => {
    await assert.rejects(bindSubPath(volume, path, target()), /must be relative and without \.\./);
  });
}

/** Lets another process swap a folder for a link out of the volume and back, as fast as it can, while `work` goes on. */
async function whileSwapped(work: () => Promise<void>): Promise<void> {
  const script = `
    const { existsSync, renameSync, rmSync, symlinkSync } = require("node:fs");
    process.chdir(${JSON.stringify(volume)});
    const restore = () => {
      rmSync("evil", { recursive: true, force: true });
      symlinkSync("../outside", "evil");
      if (!existsSync("aside")) return;
      rmSync("real", { recursive: true, force: true });
      renameSync("aside", "real");
    };
    restore();
    process.stdout.write("ready");
    for (;;) {
      try {
        renameSync("real", "aside"); renameSync("evil", "real");
        renameSync("real", "evil"); renameSync("aside", "real");
      } catch {
        // Somebody made the folder meanwhile.
        try { restore(); } catch {}
      }
    }`;
  const child = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  await once(child.stdout, "data");
  try {
    await work();
  } finally {
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  }
}

test("a container that swaps a folder of its subPath for a link at the very moment never sees the host", async () => {
  let shown = 0;
  await whileSwapped(async () => {
    for (let round = 0; round < 400; round += 1) {
      try {
        await bindSubPath(volume, "real/sub", target());
        assert.equal(existsSync(join(target(), "secret")), false);
        if (existsSync(join(target(), "own"))) shown += 1;
      } catch (error) {
        if (error instanceof assert.AssertionError) throw error; // others: the folder was not there just then
      }
    }
  });
  unbind();
  assert(shown > 0, "some of the rounds must have shown the volume");
});

test("fsGroup given while a folder is swapped for a link never reaches the host's files", async () => {
  chownSync(join(outside, "secret"), 0, 0);
  await whileSwapped(async () => {
    for (let round = 0; round < 300; round += 1) {
      await setFsGroup(volume, { fsGroup: 4242 }).catch(() => undefined); // an entry may be gone just then
    }
  });
  for (const path of [outside, join(outside, "secret"), join(outside, "sub"), join(outside, "sub/secret")]) {
    assert.equal(statSync(path).gid, 0, path);
  }
  assert.equal(readFileSync(join(outside, "secret"), "utf8"), "of the host");
});
