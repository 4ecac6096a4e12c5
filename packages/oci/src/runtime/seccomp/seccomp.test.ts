import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { defaultSeccompProfile } from "./default-profile.ts";
import { buildSeccomp } from "./seccomp-choice.ts";

const allowed = (capabilities: readonly string[]): Set<string> =>
  new Set(
    defaultSeccompProfile(capabilities, "x64")
      .syscalls.filter(({ action, args }) => action === "SCMP_ACT_ALLOW" && args === undefined)
      .flatMap(({ names }) => names),
  );

test("the default profile keeps the dangerous calls from a plain container", () => {
  const plain = allowed(["CAP_CHOWN", "CAP_NET_RAW"]);
  for (const name of [
    "mount",
    "umount2",
    "bpf",
    "init_module",
    "kexec_load",
    "reboot",
    "setns",
    "unshare",
    "swapon",
    "add_key",
    "userfaultfd",
    "io_uring_setup",
    "clone",
    "personality",
    "open_by_handle_at",
  ]) {
    assert.equal(plain.has(name), false, name);
  }
  for (const name of ["read", "execve", "futex", "epoll_wait", "clock_gettime", "rseq", "openat2", "pidfd_open"]) {
    assert.equal(plain.has(name), true, name);
  }
});

test("a capability unlocks its calls", () => {
  assert.ok(allowed(["CAP_SYS_ADMIN"]).has("mount"));
  assert.ok(allowed(["CAP_SYS_ADMIN"]).has("clone"));
  assert.ok(allowed(["CAP_SYS_BOOT"]).has("reboot"));
});

test("each name is in one group of the table only once per rule, and architectures are the machine's", () => {
  for (const { names } of defaultSeccompProfile([], "arm64").syscalls) assert.equal(new Set(names).size, names.length);
  assert.deepEqual(defaultSeccompProfile([], "arm64").architectures, ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]);
});

test("Localhost profiles are read from their file; one that is no profile is refused", () => {
  const folder = mkdtempSync("/tmp/tripod-seccomp-");
  try {
    const path = join(folder, "p.json");
    writeFileSync(path, '{"defaultAction":"SCMP_ACT_ALLOW"}');
    assert.deepEqual(buildSeccomp({ kind: "localhost", path }, []), { defaultAction: "SCMP_ACT_ALLOW", syscalls: [] });
    writeFileSync(path, "[]");
    assert.throws(() => buildSeccomp({ kind: "localhost", path }, []), /p\.json: .*defaultAction/);
    assert.throws(() => buildSeccomp({ kind: "localhost", path: join(folder, "absent") }, []), /absent/);
  } finally {
    rmSync(folder, { recursive: true });
  }
  assert.equal(buildSeccomp({ kind: "unconfined" }, []), undefined);
});
