import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { runCommand } from "@tripod/base";
import { tempRoot } from "@tripod/testing";
import { commands } from "./commands.ts";

const tripod = join(import.meta.dirname, "../../../tripod");
const run = (args: readonly string[]) => runCommand(tripod, args, { okExitCodes: "any" });

test("help names every command, and each command's help shows its options", async () => {
  const { stdout, exitCode } = await run(["--help"]);
  assert.equal(exitCode, 0);
  for (const name of Object.keys(commands)) {
    assert.match(stdout.toString(), new RegExp(`^ {2}${name} `, "m"));
    const help = await run([name, "--help"]);
    assert.equal(help.exitCode, 0, name);
    assert.match(help.stdout.toString(), /Usage: /, name);
  }
});

test("a command or an option that does not exist is refused with a word of help", async () => {
  for (const args of [["nonsense"], ["up", "--nonsense"]]) {
    const { exitCode, stderr } = await run(args);
    assert.equal(exitCode, 1);
    assert.match(stderr.toString(), /unknown (command|option) '(--)?nonsense'/);
  }
});

test("a mistake is answered with the help of the very command", async () => {
  const { exitCode, stderr } = await run(["csi", "snapshot", "create", "only-a-name"]);
  assert.equal(exitCode, 1);
  assert.match(stderr.toString(), /missing required argument 'volume'\nsee tripod csi snapshot create --help\n$/);
});

test("a reader that goes away ends the command as SIGPIPE would, and a full disk is told in words", async () => {
  const child = spawn(tripod, ["completion", "bash"], { stdio: ["ignore", "pipe", "pipe"] });
  child.stdout.destroy();
  const said = child.stderr.toArray();
  assert.deepEqual(await once(child, "exit"), [141, null]);
  assert.equal(Buffer.concat(await said).toString(), "");
  const full = await runCommand("bash", ["-c", '"$0" completion bash >/dev/full', tripod], { okExitCodes: "any" });
  assert.equal(full.exitCode, 1);
  assert.match(full.stderr.toString(), /^tripod: print: ENOSPC: .*\n$/);
});

/** What bash would offer for a line that the user has typed. */
async function completionsOf(line: string): Promise<string[]> {
  const script = (await run(["completion", "bash"])).stdout.toString();
  // COMP_WORDS split at colons too, as bash does it.
  const complete =
    'eval "$1"; COMP_LINE=$2; COMP_POINT=${#2}; COMP_WORDS=($3); COMP_CWORD=$((${#COMP_WORDS[@]}-1)); _tripod; printf "%s\\n" "${COMPREPLY[@]}"';
  const words = line.replaceAll(":", " : ");
  const { stdout } = await runCommand("bash", ["-c", complete, "bash", script, line, words], {
    env: { ...process.env, PATH: `${dirname(tripod)}:${process.env.PATH}` },
  });
  return stdout.toString().split("\n").filter(Boolean);
}

test("the completion for bash completes subcommands, choices, files after options, and names of images", async () => {
  assert.deepEqual(await completionsOf("tripod image pu"), ["pull", "push"]);
  assert.deepEqual(await completionsOf("tripod csi serve h"), ["hostpath"]);
  assert.deepEqual(await completionsOf("tripod completion z"), ["zsh"]);
  assert.deepEqual(await completionsOf("tripod csi create x --secrets-file /etc/hostnam"), ["/etc/hostname"]);
  await using root = tempRoot();
  const rootfs = join(root.path, "rootfs");
  mkdirSync(rootfs);
  for (const tag of ["web:1", "web:2", "tools:1"]) {
    const built = await run(["image", "build", rootfs, "-t", tag, "--root", root.path]);
    assert.equal(built.exitCode, 0, built.stderr.toString());
  }
  const inspect = `tripod image inspect --root ${root.path}`;
  assert.deepEqual(await completionsOf(`${inspect} docker.io/library/w`), [
    "docker.io/library/web:1",
    "docker.io/library/web:2",
  ]);
  assert.deepEqual(await completionsOf(`${inspect} docker.io/library/tools:`), ["1"]);
});

test("completion for an unknown shell says which there are", async () => {
  const { exitCode, stderr } = await run(["completion", "tcsh"]);
  assert.equal(exitCode, 1);
  assert.match(stderr.toString(), /bash, zsh, fish/);
});

test("version and doctor speak JSON", async () => {
  const version = JSON.parse((await run(["version", "--json"])).stdout.toString()) as Record<string, string>; // checked below
  assert.equal(version.cni, "1.1.0");
  const checks = JSON.parse((await run(["doctor", "--json"])).stdout.toString()) as { name: string; status: string }[]; // checked below
  assert.ok(checks.length > 10);
  assert.ok(checks.every((check) => ["ok", "warn", "fail"].includes(check.status)));
});
