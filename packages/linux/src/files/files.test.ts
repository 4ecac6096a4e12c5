import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  ftruncateSync,
  lstatSync,
  openSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { test, type TestContext } from "node:test";
import { isErrno } from "../system-call-error.ts";
import { TemporaryFolder } from "../testing/temporary-folder.ts";
import { lgetxattr, llistxattr, lremovexattr, lsetxattr } from "./extended-attributes.ts";
import { lockDescriptor, tryLockDescriptor } from "./descriptor-lock.ts";
import { FileLock } from "./file-lock.ts";
import { copyContent } from "./copy-content.ts";
import { allocate, cloneFile, punchHole } from "./file-space.ts";
import { makeDevice, mknod } from "./make-node.ts";
import { lutimesNs } from "./timestamps.ts";

test("extended attributes of a file, whatever their size, and of a link itself", () => {
  using folder = new TemporaryFolder("files");
  const file = folder.join("file");
  writeFileSync(file, "");
  lsetxattr(file, "trusted.a", { value: Buffer.from([0, 255, 10]) });
  lsetxattr(file, "trusted.empty", { value: Buffer.alloc(0) });
  lsetxattr(file, "trusted.big", { value: Buffer.alloc(2000, 7) });
  assert.deepEqual(llistxattr(file).sort(), ["trusted.a", "trusted.big", "trusted.empty"]);
  assert.deepEqual(lgetxattr(file, "trusted.a"), Buffer.from([0, 255, 10]));
  assert.equal(lgetxattr(file, "trusted.empty")?.length, 0);
  assert.equal(lgetxattr(file, "trusted.big")?.length, 2000);
  assert.equal(lgetxattr(file, "trusted.none"), undefined);
  assert.throws(() => lsetxattr(file, "trusted.a", { value: Buffer.alloc(1), mode: "create" }), {
    code: "already-exists",
  });
  assert(lremovexattr(file, "trusted.a"));
  assert(!lremovexattr(file, "trusted.a"));
  symlinkSync(file, folder.join("link"));
  lsetxattr(folder.join("link"), "trusted.of.link", { value: Buffer.from("x") });
  assert(!llistxattr(file).includes("trusted.of.link"));
  assert.throws(() => lgetxattr(folder.join("absent"), "trusted.a"), { code: "not-found" });
});

test("a name that is not UTF-8 is passed on as it is", () => {
  using folder = new TemporaryFolder("files");
  const path = Buffer.concat([Buffer.from(`${folder.path}/`), Buffer.from([0x66, 0xff])]);
  mknod(path, { kind: "fifo", mode: 0o600 });
  assert(lstatSync(path).isFIFO());
});

test("mknod makes devices, FIFOs and overlay's whiteouts", () => {
  using folder = new TemporaryFolder("files");
  mknod(folder.join("null"), { kind: "character", mode: 0o666, major: 1, minor: 3 });
  mknod(folder.join("whiteout"), { kind: "character", mode: 0 });
  assert.equal(statSync(folder.join("null")).rdev, statSync("/dev/null").rdev);
  assert.equal(statSync(folder.join("whiteout")).rdev, 0);
  assert.throws(() => mknod(folder.join("null"), { kind: "file", mode: 0 }), { code: "already-exists" });
  assert.equal(makeDevice(259, 1_000_000), (259n << 8n) | (1_000_000n & 0xffn) | ((1_000_000n & ~0xffn) << 12n));
});

test("lutimesNs sets a link's own times to the nanosecond", () => {
  using folder = new TemporaryFolder("files");
  const link = folder.join("link");
  symlinkSync("/etc/hostname", link);
  for (const time of [1_234_567_890_123_456_789n, 0n, -1n, -1_500_000_000n]) {
    lutimesNs(link, { modifiedAtNs: time });
    assert.equal(lstatSync(link, { bigint: true }).mtimeNs, time);
  }
  lutimesNs(link, { accessedAtNs: 5n });
  assert.equal(lstatSync(link, { bigint: true }).mtimeNs, -1_500_000_000n);
});

test("allocate reserves blocks and punchHole gives them back", () => {
  using folder = new TemporaryFolder("files");
  const file = openSync(folder.join("file"), "w+");
  try {
    allocate(file, { lengthBytes: 1 << 20 });
    const full = statSync(folder.join("file")).blocks;
    punchHole(file, { lengthBytes: 1 << 19 });
    assert.equal(statSync(folder.join("file")).size, 1 << 20);
    assert(statSync(folder.join("file")).blocks <= full / 2 + 16);
  } finally {
    closeSync(file);
  }
});

test("copyContent copies what is in a file, keeps its holes, and never writes over another file", () => {
  using folder = new TemporaryFolder("files");
  const file = openSync(folder.join("sparse"), "w");
  writeSync(file, "start", 0);
  writeSync(file, "middle", 4 << 20);
  ftruncateSync(file, 8 << 20);
  closeSync(file);
  copyContent(folder.join("sparse"), folder.join("copy"));
  const { size, blocks } = statSync(folder.join("copy"));
  assert.equal(size, 8 << 20);
  assert(blocks * 512 < 1 << 20, `${blocks} blocks`);
  const copy = readFileSync(folder.join("copy"));
  assert(copy.equals(readFileSync(folder.join("sparse"))));
  assert.throws(() => copyContent(folder.join("sparse"), folder.join("copy")), { code: "EEXIST" });
  writeFileSync(folder.join("empty"), "");
  assert(copyContent(folder.join("empty"), folder.join("empty copy")));
});

test("cloneFile shares blocks where the file system can", (t: TestContext) => {
  using folder = new TemporaryFolder("files");
  writeFileSync(folder.join("a"), "same");
  const [a, b] = [openSync(folder.join("a"), "r"), openSync(folder.join("b"), "w")];
  try {
    cloneFile(a, b);
    assert.equal(readFileSync(folder.join("b"), "utf8"), "same");
  } catch (error) {
    if (!isErrno(error, "EOPNOTSUPP", "EINVAL", "ENOTTY")) throw error;
    t.skip("the file system of /tmp has no reflinks");
  } finally {
    closeSync(a);
    closeSync(b);
  }
});

test("a lock is held by one at a time, and ends with its process", async () => {
  using folder = new TemporaryFolder("files");
  const path = folder.join("lock");
  const child = spawn("flock", ["-x", path, "sh", "-c", "echo held; exec cat"], { stdio: ["pipe", "pipe", "inherit"] });
  await once(child.stdout, "data");
  assert.equal(FileLock.tryAcquire(path), undefined);
  child.kill("SIGKILL");
  child.stdin.end();
  await once(child, "close");
  {
    using held = FileLock.tryAcquire(path);
    assert(held !== undefined);
    assert.equal(FileLock.tryAcquire(path, { shared: true }), undefined);
  }
  using one = FileLock.tryAcquire(path, { shared: true });
  using two = FileLock.tryAcquire(path, { shared: true });
  assert(one !== undefined && two !== undefined);
  const file = openSync(path, "r+");
  writeSync(file, "x");
  closeSync(file);
});

test("a lock on an open file is waited for, until it is free or the caller gives up", async () => {
  using folder = new TemporaryFolder("files");
  const [a, b] = [openSync(folder.join("lock"), "a"), openSync(folder.join("lock"), "r")];
  try {
    await lockDescriptor(a);
    const abort = new AbortController();
    const given = lockDescriptor(b, { signal: abort.signal });
    abort.abort(new Error("enough"));
    await assert.rejects(given, /enough/);
    const waiting = lockDescriptor(b);
    closeSync(a);
    await waiting;
    const c = openSync(folder.join("lock"), "r");
    assert(!tryLockDescriptor(c));
    closeSync(c);
  } finally {
    closeSync(b);
  }
});
