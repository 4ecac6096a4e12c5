import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { type CommandResult, runCommand } from "@tripod/base";
import { cgroupExists, removeCgroup } from "@tripod/linux";
import type { RuntimeSpec } from "@tripod/oci";
import { crunProgram, makeBusyboxRootfs, tempRoot } from "@tripod/testing";

const main = new URL("../main.ts", import.meta.url).pathname;
const crun = crunProgram();
let root: Awaited<ReturnType<typeof tempRoot>>;
let cgroup: string;

before(() => {
  root = tempRoot();
  cgroup = `${root.layout.cgroupParent}-oci`;
  mkdirSync(root.layout.etcDir, { recursive: true });
  const handlers = {
    crun: { program: crun.path },
    runsc: {},
    shim: { kind: "shim", program: "containerd-shim-runc-v2" },
  };
  writeFileSync(root.layout.configFile, JSON.stringify({ cri: { handlers } }));
});
after(async () => {
  await removeCgroup(cgroup);
  await root[Symbol.asyncDispose]();
  crun[Symbol.dispose]();
});

const argumentsOf = (args: readonly string[]): string[] => [main, "oci", ...args, "--root", root.path];
const oci = (
  args: readonly string[],
  options: { input?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<CommandResult> => runCommand(process.execPath, argumentsOf(args), { okExitCodes: "any", ...options });
const left = (): string[] => readdirSync(join(root.layout.runDir, "oci/containers"));

/** A bundle that runs `script`. */
async function bundle(name: string, script: string, change: (spec: RuntimeSpec) => unknown = (spec) => spec) {
  const folder = join(root.path, name);
  const rootfs = join(folder, "rootfs");
  if (!existsSync(rootfs)) {
    mkdirSync(rootfs, { recursive: true });
    await makeBusyboxRootfs(rootfs);
  }
  const { stdout, exitCode, stderr } = await runCommand(process.execPath, [
    main,
    "oci",
    "spec",
    "--print",
    "--no-terminal",
  ]);
  assert.equal(exitCode, 0, stderr.toString());
  const spec = JSON.parse(stdout.toString()) as RuntimeSpec; // what we print, checked by `run`
  const args = ["/bin/sh", "-c", script];
  const whole = change({ ...spec, process: { ...spec.process, args } });
  writeFileSync(join(folder, "config.json"), JSON.stringify(whole));
  return folder;
}

for (const handler of ["runc", "crun", "runsc", "shim"]) {
  test(`${handler}: the program's streams and exit code are the command's, and nothing is left`, async () => {
    const folder = await bundle("echo", "read word; echo got $word; echo bad >&2; exit 7");
    const { stdout, stderr, exitCode } = await oci(["run", folder, "--runtime", handler], { input: "word\nmore\n" });
    assert.deepEqual([stdout.toString(), stderr.toString(), exitCode], ["got word\n", "bad\n", 7]);
    assert.deepEqual(left(), []);
    assert.deepEqual(readdirSync(folder).toSorted(), ["config.json", "rootfs"]);
  });
}

test("no word of a program that ends at once is missed", async () => {
  const folder = await bundle("quick", "echo out; echo err >&2");
  for (let round = 0; round < 3; round += 1) {
    const { stdout, stderr, exitCode } = await oci(["run", folder]);
    assert.deepEqual([stdout.toString(), stderr.toString(), exitCode], ["out\n", "err\n", 0]);
  }
});

test("a terminal is the program's own, with its size", async () => {
  const folder = await bundle("tty", "tty; stty size; read x; echo $x", (spec) => ({
    ...spec,
    process: { ...spec.process, terminal: true },
  }));
  const line = [process.execPath, ...argumentsOf(["run", folder])].map((word) => `'${word}'`).join(" ");
  const { stdout } = await runCommand("script", ["-qec", `stty rows 33 cols 77; ${line}`, "/dev/null"], {
    input: "typed\n",
  });
  assert.match(stdout.toString(), /\/dev\/pts\/\d\r+\n33 77\r+\ntyped\r+\n/);
});

test("signals go to the program", async () => {
  const folder = await bundle("signal", "trap 'echo caught; exit 9' USR1; echo ready; while :; do sleep 0.05; done");
  const child = spawn(process.execPath, argumentsOf(["run", folder]), { stdio: ["ignore", "pipe", "inherit"] });
  const words = text(child.stdout);
  await once(child.stdout, "data");
  child.kill("SIGUSR1");
  const [code] = await once(child, "exit");
  assert.equal(code, 9);
  assert.match(await words, /caught/);
});

test("a detached container is listed, logs, is there once, and goes with its cgroup", async () => {
  const folder = await bundle("web", "echo started; exec sleep 1000");
  const { stdout } = await oci(["run", "-d", "--id", "web", folder]);
  assert.equal(stdout.toString(), "web\n");
  const [web] = JSON.parse((await oci(["ps", "--json"])).stdout.toString());
  assert.deepEqual([web.id, web.state, web.handler, web.bundle], ["web", "running", "runc", folder]);
  assert.ok(cgroupExists(`${cgroup}/web`));
  const again = await oci(["run", "-d", "--id", "web", folder]);
  assert.match(again.stderr.toString(), /web is there already; tripod oci rm web/);
  const log = join(root.layout.runDir, "oci/containers/web/container.log");
  while (!readFileSync(log, "utf8").includes("started")) await oci(["ps"]);
  process.kill(web.pid, "SIGKILL");
  for (;;) {
    const [{ state, exitCode }] = JSON.parse((await oci(["ps", "--json"])).stdout.toString());
    if (state === "running" || exitCode === undefined) continue;
    assert.deepEqual([state, exitCode], ["stopped", 137]);
    break;
  }
  assert.equal((await oci(["rm", "web"])).exitCode, 0);
  assert.deepEqual(left(), []);
  assert.equal(cgroupExists(`${cgroup}/web`), false);
  assert.match((await oci(["rm", "web"])).stderr.toString(), /there is no container web/);
});

test("what cannot run says why, all at once, and leaves nothing", async () => {
  const wrong = await bundle("wrong", "", (spec) => ({ ...spec, process: { ...spec.process, cwd: "x", args: [] } }));
  const refused = await oci(["run", wrong]);
  assert.match(
    refused.stderr.toString(),
    /process\.cwd: must be an absolute path\n +process\.args: must name a program/,
  );
  assert.equal(refused.exitCode, 1);
  const checked = await runCommand(process.execPath, [main, "oci", "check", wrong, "--json"], { okExitCodes: "any" });
  assert.equal(JSON.parse(checked.stdout.toString()).length, 2);
  assert.equal(checked.exitCode, 1);
  const nowhere = await oci(["run", join(root.path, "nowhere")]);
  assert.match(nowhere.stderr.toString(), /nowhere\/config\.json is not there; tripod oci spec writes one/);
  const none = await bundle("none", "", (spec) => ({ ...spec, process: { ...spec.process, args: ["/bin/none"] } }));
  assert.match((await oci(["run", none])).stderr.toString(), /\/bin\/none/);
  const unknown = await oci(["run", none, "--runtime", "nobody"]);
  assert.match(unknown.stderr.toString(), /handler nobody: there is none; config\.yaml has .*crun/);
  assert.deepEqual(left(), []);
});

for (const failpoint of ["oci-run.recorded", "oci-run.created"]) {
  test(`killed at ${failpoint}, the container is listed, and rm takes all of it away`, async () => {
    const folder = await bundle("killed-at", "exec sleep 1000");
    const env = { ...process.env, TRIPOD_FAILPOINT: failpoint };
    const { exitCode } = await oci(["run", "--id", "half", folder], { env });
    assert.notEqual(exitCode, 0);
    assert.equal(JSON.parse((await oci(["ps", "--json"])).stdout.toString())[0].id, "half");
    assert.equal((await oci(["rm", "--all"])).exitCode, 0);
    assert.deepEqual(left(), []);
    assert.equal(cgroupExists(`${cgroup}/half`), false);
  });
}

test("an image becomes a bundle, and its files belong to whom the image says", async () => {
  const context = join(root.path, "context");
  mkdirSync(context);
  await makeBusyboxRootfs(context);
  mkdirSync(join(context, "etc"), { recursive: true });
  writeFileSync(join(context, "etc/passwd"), "ann:x:1234:1235::/:/bin/sh\n");
  const build = ["image", "build", context, "-t", "box", "--cmd", '["/bin/sh","-c","id -u; id -g; echo $A"]'];
  await runCommand(process.execPath, [main, ...build, "-u", "ann", "-e", "A=b", "--root", root.path]);
  const folder = join(root.path, "unpacked");
  const made = await oci(["spec", "--image", "box", "--unpack", "-b", folder, "--no-terminal"]);
  assert.equal(made.exitCode, 0, made.stderr.toString());
  const { stdout } = await oci(["run", folder]);
  assert.equal(stdout.toString(), "1234\n1235\nb\n");
  const again = await oci(["spec", "--image", "box", "-b", folder]);
  assert.match(again.stderr.toString(), /config\.json is there already; --force/);
  assert.ok(existsSync(join(folder, "rootfs/bin/busybox")));
});
