import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { runCommand } from "@tripod/base";
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

for (const [shell, command] of [
  ["bash", 'eval "$1"; COMP_WORDS=(tripod image pu); COMP_CWORD=2; _tripod; echo "${COMPREPLY[*]}"'],
] as const) {
  test(`the completion for ${shell} completes subcommands`, async () => {
    const script = (await run(["completion", shell])).stdout.toString();
    const { stdout } = await runCommand(shell, ["-c", command, shell, script]);
    assert.equal(stdout.toString().trim(), "pull push");
  });
}

test("completion for an unknown shell says which there are", async () => {
  const { exitCode, stderr } = await run(["completion", "tcsh"]);
  assert.equal(exitCode, 1);
  assert.match(stderr.toString(), /bash, zsh or fish/);
});

test("version and doctor speak JSON", async () => {
  const version = JSON.parse((await run(["version", "--json"])).stdout.toString()) as Record<string, string>; // checked below
  assert.equal(version.cni, "1.1.0");
  const checks = JSON.parse((await run(["doctor", "--json"])).stdout.toString()) as { name: string; status: string }[]; // checked below
  assert.ok(checks.length > 10);
  assert.ok(checks.every((check) => ["ok", "warn", "fail"].includes(check.status)));
});
