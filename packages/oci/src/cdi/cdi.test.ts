import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, beforeEach, test } from "node:test";
import { CdiDevices } from "./cdi-devices.ts";
import { cdiDevicesOf, parseCdiDevice } from "./device-name.ts";
import { parseCdiSpec } from "./parse-spec.ts";

const root = mkdtempSync("/tmp/tripod-cdi-");
after(() => rmSync(root, { recursive: true }));
const [low, high] = [join(root, "etc"), join(root, "run")];
beforeEach(() => {
  for (const dir of [low, high]) {
    rmSync(dir, { recursive: true, force: true });
    mkdirSync(dir);
  }
});
const spec = (device: string, env: string, more: object = {}): object => ({
  cdiVersion: "1.0.0",
  kind: "vendor.com/class",
  devices: [{ name: device, containerEdits: { env: [env] } }],
  ...more,
});
const write = (dir: string, name: string, content: object | string): void =>
  writeFileSync(join(dir, name), typeof content === "string" ? content : JSON.stringify(content));
const envOf = (devices: CdiDevices, ...names: string[]): string[] =>
  devices.resolve(names.map((name) => `vendor.com/class=${name}`)).flatMap(({ env }) => env ?? []);

test("files in JSON and YAML; a spec's own edits come once, before its first device's", () => {
  const devices = new CdiDevices([low, high]);
  write(low, "a.json", spec("a", "A=1", { containerEdits: { env: ["ALL=1"] } }));
  write(
    low,
    "b.yaml",
    'cdiVersion: "0.6.0"\nkind: vendor.com/class\ndevices:\n- name: "0"\n  containerEdits:\n    env: [ZERO=1]\n',
  );
  write(low, "notes.txt", "no spec");
  mkdirSync(join(low, "folder.json"));
  assert.deepEqual(envOf(devices, "0", "a", "a"), ["ZERO=1", "ALL=1", "A=1", "A=1"]);
  assert.deepEqual(devices.overview(), {
    specDirs: [low, high],
    devices: ["vendor.com/class=0", "vendor.com/class=a"],
    problems: [],
  });
});

test("read live: new, changed and removed files count at once, and missing folders are no problem", () => {
  const devices = new CdiDevices([join(root, "absent"), low]);
  assert.throws(() => envOf(devices, "a"), /CDI device vendor\.com\/class=a: no usable spec file in .*absent/);
  write(low, "a.json", spec("a", "A=1"));
  assert.deepEqual(envOf(devices, "a"), ["A=1"]);
  write(low, "a.json", spec("a", "A=22"));
  assert.deepEqual(envOf(devices, "a"), ["A=22"]);
  rmSync(join(low, "a.json"));
  assert.throws(() => envOf(devices, "a"), /no usable spec file/);
  assert.deepEqual(devices.overview().problems, []);
});

test("a later folder goes before an earlier one; two claims in one folder spoil the device", () => {
  const devices = new CdiDevices([low, high]);
  write(low, "a.json", spec("a", "A=low"));
  write(high, "a.json", spec("a", "A=high"));
  assert.deepEqual(envOf(devices, "a"), ["A=high"]);
  write(high, "z.json", spec("a", "A=other"));
  assert.throws(() => envOf(devices, "a"), /class=a: no usable.*z\.json: another file of .* describes/);
});

test("a wrong file costs its own devices, and is named with the reason", () => {
  const devices = new CdiDevices([low, high]);
  write(low, "good.json", spec("good", "G=1"));
  write(low, "cut.json", '{"cdiVersion": ');
  write(low, "big.json", `"${" ".repeat(1024 * 1024)}"`);
  execFileSync("mkfifo", [join(low, "pipe.json")]);
  write(low, "odd.yaml", "cdiVersion: 9.9.9\nkind: vendor.com/class\ndevices: []\n");
  assert.deepEqual(envOf(devices, "good"), ["G=1"]);
  const { problems } = devices.overview();
  assert.equal(problems.length, 4);
  for (const why of [
    /big\.json: .*larger/,
    /cut\.json: .*JSON/,
    /odd\.yaml: cdiVersion: .*9\.9\.9/,
    /pipe\.json: .*regular/,
  ])
    assert.ok(
      problems.some((problem) => why.test(problem)),
      `${why} in ${problems.join("\n")}`,
    );
  assert.throws(() => envOf(devices, "bad"), /class=bad: .*big\.json/);
});

const wrong: readonly [string, object, RegExp][] = [
  ["a field that there is not", { more: 1 }, /more: there is no such field/],
  ["no devices", { devices: [] }, /there are no devices/],
  ["a kind without vendor", { kind: "class" }, /VENDOR\/CLASS/],
  ["a name that ends in a dot", { devices: [{ name: "a.", containerEdits: {} }] }, /devices\.0\.name/],
  ["a name twice", { devices: [1, 2].map(() => ({ name: "a", containerEdits: {} })) }, /device a is there twice/],
  ["an environment without =", { containerEdits: { env: ["A"] } }, /env\.0: must be NAME=VALUE/],
  ["permissions", { containerEdits: { deviceNodes: [{ path: "/dev/x", permissions: "rx" }] } }, /permissions/],
  ["a device type", { containerEdits: { deviceNodes: [{ path: "/dev/x", type: "z" }] } }, /type/],
  ["a hook", { containerEdits: { hooks: [{ hookName: "later", path: "/x" }] } }, /there is no hook later/],
  ["a hook's path", { containerEdits: { hooks: [{ hookName: "poststop", path: "x" }] } }, /must be absolute/],
  ["a hook's time", { containerEdits: { hooks: [{ hookName: "poststop", path: "/x", timeout: 0 }] } }, /timeout/],
  ["a mount's path", { containerEdits: { mounts: [{ hostPath: "/x", containerPath: "y" }] } }, /containerPath/],
  ["a resctrl group", { containerEdits: { intelRdt: { closID: "../x" } } }, /closID/],
  ["a group", { containerEdits: { additionalGIDs: [-1] } }, /additionalGIDs/],
];
for (const [what, change, why] of wrong) {
  test(`parseCdiSpec refuses ${what}`, () => {
    assert.throws(() => parseCdiSpec(spec("a", "A=1", change), "f.json"), why);
  });
}

test("names: fully qualified, of the container's own field and of annotations, each once", () => {
  assert.deepEqual(parseCdiDevice("vendor.com/gpu=0:1"), { kind: "vendor.com/gpu", name: "0:1" });
  for (const name of ["gpu", "vendor/gpu", "vendor.com/gpu=", "=a", "/=a", "vendor.com/a/b=c", "vendor.com/gpu=-a"]) {
    assert.throws(() => parseCdiDevice(name), /VENDOR\/CLASS=NAME/, name);
  }
  const annotations = { "cdi.k8s.io/plugin_x": "v.com/c=a, v.com/c=b", other: "v.com/c=z" };
  assert.deepEqual(cdiDevicesOf({ devices: ["v.com/c=b"], annotations }), ["v.com/c=b", "v.com/c=a"]);
  assert.throws(
    () => cdiDevicesOf({ devices: [], annotations: { "cdi.k8s.io/x": ",".repeat(2 ** 19) } }),
    /longer than/,
  );
});
