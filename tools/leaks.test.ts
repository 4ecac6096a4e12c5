import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { test } from "node:test";
import { createNamespaces, openRtnetlink, removeNamespace } from "@tripod/linux";
import { leaksSince, leakSnapshot } from "./leaks.ts";

/** Other tests run meanwhile on the same machine: only what names this folder is looked at. */
const leaksNaming = async (folder: string, before: readonly string[]): Promise<string[]> =>
  (await leaksSince(before, { settleMs: 0 })).filter((line) => line.includes(folder));

test("a folder, a mount, a process and a namespace left behind are each named, and no more once they are gone", async () => {
  const before = await leakSnapshot();
  const folder = mkdtempSync("/tmp/tripod-leaks-");
  const child = spawn("cat", [], { stdio: ["pipe", "ignore", "ignore"], env: { ...process.env, TRIPOD_ROOT: folder } });
  try {
    createNamespaces({ net: `${folder}/net` });
    assert.deepEqual((await leaksNaming(folder, before)).sort(), [`folder ${folder}`, `mount ${folder}/net (nsfs)`]);
    assert((await leaksSince(before, { settleMs: 0 })).some((line) => line.startsWith(`process ${child.pid} `)));
  } finally {
    removeNamespace(`${folder}/net`);
    const ended = once(child, "exit");
    child.stdin.end();
    await ended;
    rmSync(folder, { recursive: true });
  }
  assert.deepEqual(await leaksNaming(folder, before), []);
});

test("a link left behind in the host's namespace is named", async () => {
  const before = await leakSnapshot();
  const name = `tri-l${process.pid}`;
  using rtnetlink = openRtnetlink();
  rtnetlink.linkAdd({ kind: "bridge", name });
  try {
    assert((await leaksSince(before, { settleMs: 0 })).includes(`link ${name} (bridge)`));
  } finally {
    rtnetlink.linkDelete(name);
  }
});
