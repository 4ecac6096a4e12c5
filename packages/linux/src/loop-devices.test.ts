import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { test, type TestContext } from "node:test";
import { attachLoop, detachLoop, loopDevices, refreshLoopSize, withLoop } from "./loop-devices.ts";
import { mount } from "./mounts/mount.ts";
import { unmountAbandoned } from "./mounts/unmount-abandoned.ts";
import { TemporaryFolder } from "./testing/temporary-folder.ts";

const sectorsOf = (device: string): number => Number(readFileSync(`/sys/block/${device.slice(5)}/size`, "utf8"));

test("a file is shown as a block device, grows with it, and is let go", (t: TestContext) => {
  if (!existsSync("/dev/loop-control")) return t.skip("this kernel has no loop devices");
  using folder = new TemporaryFolder("loop");
  const file = folder.join("disk");
  writeFileSync(file, Buffer.alloc(1 << 20, 1));
  const device = attachLoop(file);
  try {
    assert.equal(loopDevices().find(({ path }) => path === device)?.backingFile, file);
    assert.equal(sectorsOf(device), 2048);
    truncateSync(file, 2 << 20);
    assert(refreshLoopSize(device));
    assert.equal(sectorsOf(device), 4096);
    const other = attachLoop(file, { readOnly: true, offsetBytes: 4096, sizeBytes: 8192 });
    try {
      assert.notEqual(other, device);
      assert.equal(sectorsOf(other), 16);
      assert.throws(() => writeFileSync(other, "x", { flag: "r+" }), { code: /EPERM|EACCES|EROFS/ });
    } finally {
      assert(detachLoop(other));
    }
  } finally {
    assert(detachLoop(device));
  }
  assert(!detachLoop(device));
  assert(!detachLoop("/dev/loop99999"));
  assert.equal(
    loopDevices().find(({ backingFile }) => backingFile.startsWith(folder.path)),
    undefined,
  );
  assert.throws(() => attachLoop(folder.join("absent")), { code: "ENOENT" });
});

test("a device made for one use goes with its last mount, or at once when nothing was mounted", async (t: TestContext) => {
  if (!existsSync("/dev/loop-control")) return t.skip("this kernel has no loop devices");
  using folder = new TemporaryFolder("loop");
  const file = folder.join("disk");
  writeFileSync(file, "");
  truncateSync(file, 1 << 22);
  execFileSync("mkfs.ext4", ["-q", "-F", file]);
  const attached = (): string[] =>
    loopDevices().flatMap(({ path, backingFile }) => (backingFile === file ? [path] : []));
  withLoop(file, (device) => assert.deepEqual(attached(), [device]));
  assert.throws(() => withLoop(file, () => assert.fail("no use")), /no use/);
  assert.deepEqual(attached(), []);
  const target = folder.join("target");
  mkdirSync(target);
  const device = withLoop(file, (source) => {
    mount({ source, target, type: "ext4" });
    return source;
  });
  assert.deepEqual(attached(), [device]);
  writeFileSync(folder.join("target", "file"), "x");
  assert(await unmountAbandoned(target));
  assert(!(await unmountAbandoned(target)));
  assert(!(await unmountAbandoned(folder.join("absent"))));
  assert.deepEqual(attached(), []);
});
