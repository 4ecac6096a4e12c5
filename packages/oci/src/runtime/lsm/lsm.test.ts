import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { apparmorEnabled, apparmorProfileLoaded, buildApparmor } from "./apparmor.ts";
import { categoriesOf, selinuxEnabled, selinuxLabels } from "./selinux.ts";

/** A folder laid out like the parts of /sys that tell of security modules. */
function fixture(files: Readonly<Record<string, string>>): { readonly sys: string } & Disposable {
  const sys = mkdtempSync("/tmp/tripod-sys-");
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(sys, path)), { recursive: true });
    writeFileSync(join(sys, path), text);
  }
  return { sys, [Symbol.dispose]: () => rmSync(sys, { recursive: true }) };
}
const profiles = "kernel/security/apparmor/profiles";
const enabled = "module/apparmor/parameters/enabled";

test("AppArmor: what the kernel says, and profiles by their whole name", async () => {
  using on = fixture({ [enabled]: "Y\n", [profiles]: "tripod-default (enforce)\nmine//sub (complain)\n" });
  assert.equal(apparmorEnabled(on.sys), true);
  assert.deepEqual(
    ["tripod-default", "mine", "mine//sub", ""].map((name) => apparmorProfileLoaded(name, on.sys)),
    [true, false, true, false],
  );
  assert.equal(await buildApparmor({ kind: "runtime-default", asked: true }, on), "tripod-default");
  assert.equal(await buildApparmor({ kind: "localhost", profile: "mine//sub" }, on), "mine//sub");
  assert.equal(await buildApparmor({ kind: "unconfined" }, on), undefined);
  await assert.rejects(buildApparmor({ kind: "localhost", profile: "mine" }, on), /mine is not loaded/);
  using bare = fixture({ [enabled]: "Y\n" });
  const without = { sys: bare.sys, parser: "no-such-parser" };
  assert.equal(await buildApparmor({ kind: "runtime-default", asked: false }, without), undefined);
  await assert.rejects(buildApparmor({ kind: "runtime-default", asked: true }, without), /install apparmor/);
  await assert.rejects(
    buildApparmor({ kind: "runtime-default", asked: false }, { ...bare, parser: "false" }),
    /loaded/,
  );
  assert.equal(
    await buildApparmor({ kind: "runtime-default", asked: false }, { ...bare, parser: "true" }),
    "tripod-default",
  );
  using off = fixture({ [enabled]: "N\n" });
  assert.equal(await buildApparmor({ kind: "runtime-default", asked: true }, off), undefined);
  await assert.rejects(buildApparmor({ kind: "localhost", profile: "mine" }, off), /no AppArmor/);
});

test("SELinux: contexts of a Pod share two categories that are its own", () => {
  const nothing = { user: "", role: "", type: "", level: "" };
  const level = categoriesOf("pod");
  assert.match(level, /^s0:c\d+,c\d+$/);
  const [low = 0, high = 0] = [...level.matchAll(/c(\d+)/g)].map(([, number]) => Number(number));
  assert.ok(low < high && high < 1024);
  assert.deepEqual(selinuxLabels(nothing, "pod"), {
    process: `system_u:system_r:container_t:${level}`,
    mount: `system_u:object_r:container_file_t:${level}`,
  });
  assert.equal(
    selinuxLabels({ user: "u", role: "r", type: "spc_t", level: "s0:c1" }, "pod").process,
    "u:r:spc_t:s0:c1",
  );
  assert.throws(() => selinuxLabels({ ...nothing, type: "a:b" }, "pod"), /type "a:b" cannot/);
  assert.equal(selinuxEnabled(), existsSync("/sys/fs/selinux/enforce"));
});
