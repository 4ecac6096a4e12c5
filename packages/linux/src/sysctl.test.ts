import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { isTripodError } from "@tripod/base";
import { createNamespaces } from "./namespaces/create-namespaces.ts";
import { readSysctl, sysctlFile, writeSysctl } from "./sysctl.ts";
import { FreshNetns } from "./testing/fresh-netns.ts";
import { TemporaryFolder } from "./testing/temporary-folder.ts";

test("names with dots and with slashes lead to the same file", () => {
  for (const [name, file] of [
    ["net.ipv4.ip_forward", "/proc/sys/net/ipv4/ip_forward"],
    ["net/ipv4/ip_forward", "/proc/sys/net/ipv4/ip_forward"],
    ["net/ipv4/conf/eth0.5/forwarding", "/proc/sys/net/ipv4/conf/eth0.5/forwarding"],
    ["net.ipv4.conf.eth0/5.forwarding", "/proc/sys/net/ipv4/conf/eth0.5/forwarding"],
  ] as const) {
    assert.equal(sysctlFile(name), file);
  }
  for (const wrong of ["", "hostname", "../etc/passwd", "/etc/passwd", "net..x", "kernel/../../etc/passwd", "a.b\0"]) {
    assert.throws(
      () => sysctlFile(wrong),
      (error) => isTripodError(error, "invalid"),
      wrong,
    );
  }
});

test("a parameter is read and written in the namespace that is meant", () => {
  using host = new FreshNetns();
  const before = readSysctl("net.ipv4.ip_forward");
  writeSysctl("net.ipv4.ip_forward", { value: "1", net: host.path });
  assert.equal(readSysctl("net.ipv4.ip_forward", { net: host.path }), "1");
  writeSysctl("net.ipv4.ip_forward", { value: "0", net: host.path });
  assert.equal(readSysctl("net.ipv4.ip_forward", { net: host.path }), "0");
  assert.equal(readSysctl("net.ipv4.ip_forward"), before);
});

test("parameters of ipc and uts namespaces", () => {
  using folder = new TemporaryFolder("sysctl");
  const [ipc, uts] = [folder.join("ipc"), folder.join("uts")];
  createNamespaces({ ipc, uts });
  writeSysctl("kernel.shmmax", { value: "77777", ipc });
  assert.equal(readSysctl("kernel.shmmax", { ipc }), "77777");
  assert.notEqual(readFileSync("/proc/sys/kernel/shmmax", "utf8").trim(), "77777");
  writeSysctl("kernel.hostname", { value: "pod-1", uts });
  assert.equal(readSysctl("kernel/hostname", { uts }), "pod-1");
});

test("what is wrong is said", () => {
  using host = new FreshNetns();
  assert.throws(() => readSysctl("net.ipv4.no_such_thing"), { code: "not-found" });
  assert.throws(() => writeSysctl("net.ipv4.ip_forward", { value: "many", net: host.path }), { code: "invalid" });
  assert.throws(() => readSysctl("net.ipv4.ip_forward", { net: "/nonexistent" }), { code: "not-found" });
});
