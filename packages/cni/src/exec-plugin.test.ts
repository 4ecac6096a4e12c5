import assert from "node:assert/strict";
import { chmodSync, closeSync, copyFileSync, existsSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { TemporaryFolder } from "@tripod/linux/testing";
import { execPlugin, execVersion } from "./exec-plugin.ts";
import type { PluginRequest } from "./plugin-request.ts";

const folder = new TemporaryFolder("exec-plugin");
test.after(() => folder[Symbol.dispose]());

let count = 0;
function script(body: string): string {
  const path = folder.join(`plugin-${(count += 1)}`);
  writeFileSync(path, `#!/bin/sh\n${body}\n`);
  chmodSync(path, 0o755);
  return path;
}

const request = (more: Partial<PluginRequest> = {}): PluginRequest => ({
  command: "ADD",
  containerId: "id",
  netns: "/run/netns/x",
  ifname: "eth0",
  args: "K=V;L=W",
  path: ["/a", "/b"],
  stdin: { name: "net", type: "x" },
  signal: AbortSignal.timeout(20_000),
  ...more,
});

test("a plugin gets the specification's variables and its configuration", async () => {
  const seen = folder.join("seen");
  const plugin = script(
    `env | grep -E '^(CNI_|TRACEPARENT)' | sort > ${seen}; cat >> ${seen}; echo '{"cniVersion":"1.0.0"}'`,
  );
  process.env.CNI_IFNAME = "stale";
  assert.deepEqual(await execPlugin(plugin, request(), { traceparent: "00-1-2-01" }), { cniVersion: "1.0.0" });
  delete process.env.CNI_IFNAME;
  assert.equal(
    readFileSync(seen, "utf8"),
    'CNI_ARGS=K=V;L=W\nCNI_COMMAND=ADD\nCNI_CONTAINERID=id\nCNI_IFNAME=eth0\nCNI_NETNS=/run/netns/x\nCNI_PATH=/a:/b\nTRACEPARENT=00-1-2-01\n{"name":"net","type":"x"}',
  );
});

test("nothing, null and what DEL prints are no result", async () => {
  assert.equal(await execPlugin(script("cat >/dev/null"), request()), undefined);
  assert.equal(await execPlugin(script("echo null"), request()), undefined);
  assert.equal(await execPlugin(script("echo noise"), request({ command: "DEL" })), undefined);
  await assert.rejects(execPlugin(script("echo noise"), request()), { cniCode: 6, message: /no JSON object: noise/ });
});

test("a plugin's error is told with its code and details; without one, what it printed is", async () => {
  const failing = script(`echo '{"code": 11, "msg": "busy", "details": "try later"}'; exit 1`);
  await assert.rejects(execPlugin(failing, request()), {
    cniCode: 11,
    code: "unavailable",
    details: "try later",
    message: /busy \(try later\)/,
  });
  await assert.rejects(execPlugin(script("echo boom >&2; exit 3"), request()), {
    cniCode: 999,
    message: /exit code 3 without an error in JSON: boom/,
  });
});

test("a plugin that hangs is killed with all that it started", async () => {
  const alive = folder.join("alive");
  const plugin = script(`(sleep 60; echo) & echo $! > ${alive}; wait`);
  await assert.rejects(execPlugin(plugin, request(), { timeoutMs: 300 }), { code: "timeout" });
  // Whoever is its parent now may not have reaped it yet.
  const stat = `/proc/${readFileSync(alive, "utf8").trim()}/stat`;
  assert.ok(!existsSync(stat) || readFileSync(stat, "utf8").includes(") Z "));
});

test("a plugin that prints without end is stopped", async () => {
  await assert.rejects(execPlugin(script("yes"), request()), { code: "exhausted" });
});

test("an executable that is being replaced is tried again", async () => {
  const plugin = folder.join("busy");
  copyFileSync("/bin/true", plugin);
  chmodSync(plugin, 0o755);
  const writer = openSync(plugin, "r+");
  const running = execPlugin(plugin, request());
  // Held open for writing, it cannot be run yet (ETXTBSY): the first attempt has been made when the call comes back to us.
  closeSync(writer);
  assert.equal(await running, undefined);
  rmSync(plugin);
});

test("VERSION is asked with an empty object, and one that does not know it speaks 0.1.0", async () => {
  const modern = script(`[ "$(cat)" = "{}" ] && echo '{"cniVersion":"1.0.0","supportedVersions":["0.4.0","1.0.0"]}'`);
  assert.deepEqual(await execVersion(modern, request().signal), ["0.4.0", "1.0.0"]);
  const old = script(`echo '{"code":100,"msg":"unknown CNI_COMMAND: VERSION"}'; exit 1`);
  assert.deepEqual(await execVersion(old, request().signal), ["0.1.0"]);
  await assert.rejects(execVersion(script("exit 1"), request().signal), { cniCode: 50 });
});
