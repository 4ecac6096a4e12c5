import assert from "node:assert/strict";
import { test } from "node:test";
import { isTripodError } from "@tripod/base";
import { cString } from "./libc.ts";
import { mount } from "./mounts/mount.ts";
import { errnoName, isErrno, SystemCallError } from "./system-call-error.ts";

test("a refused system call names errno, call and object, and has a code of the closed set", () => {
  assert.throws(
    () => mount({ source: "/nonexistent", target: "/nonexistent", flags: 0x1000 }),
    (error: unknown) => {
      assert(error instanceof SystemCallError);
      assert.equal(error.errno, "ENOENT");
      assert.equal(error.syscall, "mount");
      assert.equal(error.object, "/nonexistent");
      assert.equal(error.code, "not-found");
      return isErrno(error, "ENOENT") && !isErrno(error, "EBUSY");
    },
  );
});

test("errno names are the ones that code compares with", () => {
  for (const [number, name] of [
    [1, "EPERM"],
    [11, "EAGAIN"],
    [16, "EBUSY"],
    [17, "EEXIST"],
    [61, "ENODATA"],
    [95, "EOPNOTSUPP"],
    [105, "ENOBUFS"],
  ] as const) {
    assert.equal(errnoName(number), name);
  }
  assert.equal(errnoName(4095), "E?4095");
});

test("a path with a NUL byte is refused instead of being cut short", () => {
  assert.throws(
    () => cString("/etc/passwd\0.txt"),
    (error) => isTripodError(error, "invalid"),
  );
  assert.deepEqual(cString(Buffer.from([0xff, 0x2f])), Buffer.from([0xff, 0x2f, 0]));
});
