import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { type CommandResult, runCommand } from "@tripod/base";
import { defineDriver, serveDriver } from "@tripod/csi";
import { openLoopDriver } from "@tripod/driver-loop";
import { serveGrpc } from "@tripod/grpc";
import { isRoot } from "@tripod/linux";
import { TemporaryFolder } from "@tripod/linux/testing";

import type { Command } from "commander";
import { csiCommand } from "./index.ts";

const main = join(import.meta.dirname, "../main.ts");

/** The command and all below it. */
const all = (command: Command): Command[] => [command, ...command.commands.flatMap(all)];

test("each command has its help, with an example", () => {
  for (const command of all(csiCommand())) {
    const shown: string[] = [];
    command.configureOutput({ writeOut: (text) => shown.push(text) });
    command.outputHelp();
    const text = shown.join("");
    assert.match(text, /^Usage: /, command.name());
    if (command.commands.length === 0) assert.match(text, /Examples?:\n {2}tripod csi /, text);
  }
});

describe("tripod csi, by hand", { skip: isRoot() ? false : "mounting needs root" }, () => {
  const stack = new AsyncDisposableStack();
  let folder: TemporaryFolder;
  let endpoint: string;
  before(async () => {
    folder = stack.use(new TemporaryFolder("csi-calls"));
    const opened = stack.use(await openLoopDriver({ stateDir: folder.join("state"), nodeId: "node-a" }));
    endpoint = `unix://${folder.join("csi.sock")}`;
    stack.use(await serveDriver({ endpoint, driver: opened.driver }));
  });
  after(() => stack.disposeAsync());
  const run = (...args: string[]): Promise<CommandResult> =>
    runCommand(process.execPath, [main, "csi", ...args], {
      okExitCodes: "any",
      env: { ...process.env, CSI_ENDPOINT: endpoint },
    });
  const text = async (...args: string[]): Promise<string> => {
    const { exitCode, stdout, stderr } = await run(...args);
    assert.equal(exitCode, 0, stderr.toString());
    return stdout.toString().trim();
  };
  const json = async (...args: string[]) => JSON.parse(await text(...args, "--json")) as Record<string, object>;

  test("info shows who the driver is and all that it can do", async () => {
    const shown = await text("info");
    for (const want of [
      /name: +loop\.csi\.tripod\.dev/,
      /ready: +yes/,
      /STAGE_UNSTAGE_VOLUME/,
      /node id: +node-a/,
      /ONLINE/,
    ])
      assert.match(shown, want);
    assert.ok((await json("info")).controller);
  });

  test("a volume's whole life, each call by hand", async () => {
    const created = await json("create", "data", "--size", "8Mi", "--cap", "ReadWriteOnce,mount,ext4");
    const { volumeId } = created.volume as { volumeId: string };
    assert.match(await text("list"), new RegExp(`${volumeId} +8388608`));
    assert.equal(await text("validate", volumeId, "--cap", "RWO,mount,ext4"), "yes");
    const [staging, target] = [folder.join("staging"), folder.join("pods/data")];
    await text("stage", volumeId, staging);
    await text("publish", volumeId, target, "--staging", staging);
    writeFileSync(join(target, "file"), "by hand");
    assert.match(await text("stats", volumeId, target), /BYTES +\d+ +\d+ +\d+/);
    const taken = await json("snapshot", "create", "s", volumeId);
    const { snapshotId } = taken.snapshot as { snapshotId: string };
    assert.match(await text("snapshot", "list", "--volume", volumeId), new RegExp(snapshotId));
    assert.match(await text("metadata", snapshotId), /^\d+ \d+$/m);
    await text("unpublish", volumeId, target);
    await text("unstage", volumeId, staging);
    assert.match(await text("expand", volumeId, "--size", "16Mi"), /node expansion: +needed/);
    const copy = await json("create", "copy", "--from", `snapshot:${snapshotId}`, "--size", "8Mi");
    const { volumeId: copyId } = copy.volume as { volumeId: string };
    await text("stage", copyId, staging);
    await text("publish", copyId, target, "--staging", staging);
    assert.equal(readFileSync(join(target, "file"), "utf8"), "by hand");
    assert.equal(await text("health", copyId), "well");
    await text("unpublish", copyId, target);
    await text("unstage", copyId, staging);
    await text("modify", copyId, "--mutable", "readAheadKb=64");
    assert.match(await text("capacity"), /available bytes: +\d+/);
    await text("snapshot", "delete", snapshotId);
    for (const id of [volumeId, copyId]) await text("delete", id);
    assert.equal(existsSync(target), false);
  });

  const bad: { why: string; args: string[]; says: RegExp }[] = [
    { why: "a size that is none", args: ["create", "x", "--size", "lots"], says: /size "lots": not a quantity/ },
    {
      why: "an unknown access mode",
      args: ["create", "x", "--cap", "Sometimes"],
      says: /access mode "Sometimes" is none of/,
    },
    { why: "a volume that is not there", args: ["snapshot", "create", "s", "vol-none"], says: /NOT_FOUND: / },
    { why: "a parameter of no form", args: ["create", "x", "--param", "x"], says: /"x": not key=value/ },
    {
      why: "no driver there",
      args: ["info", "--endpoint", "/nowhere.sock", "--timeout", "5"],
      says: /UNAVAILABLE: connect to \/nowhere\.sock: there is no such socket; check that its server runs$/m,
    },
    { why: "an offset that is none", args: ["metadata", "s", "--offset", "far"], says: /"far": not a whole number/ },
    {
      why: "a file of secrets that is not there",
      args: ["create", "x", "--secrets-file", "/nowhere"],
      says: /secrets \/nowhere: ENOENT: .*; check --secrets-file/,
    },
    {
      why: "a source of no form",
      args: ["create", "x", "--from", "tape:1"],
      says: /neither snapshot:ID nor volume:ID/,
    },
  ];
  for (const { why, args, says } of bad)
    test(`${why} is an error that says so`, async () => {
      const { exitCode, stderr } = await run(...args);
      assert.equal(exitCode, 1);
      assert.match(stderr.toString(), says);
    });

  test("a driver that does not answer is told with the time that was waited, and how to wait longer", async () => {
    const silent = stack.use(createServer((socket) => socket.resume()).listen(folder.join("silent.sock")));
    await once(silent, "listening");
    const { exitCode, stderr } = await run("info", "--endpoint", folder.join("silent.sock"), "--timeout", "0.2");
    assert.equal(exitCode, 1);
    assert.match(
      stderr.toString(),
      /^tripod: DEADLINE_EXCEEDED: deadline exceeded: no answer from \S+silent\.sock within 0\.\d s; --timeout lets the call take longer\n$/,
    );
  });

  test("a list that comes in pages is shown whole", async () => {
    const paged = defineDriver({
      name: "paged.example.com",
      version: "1",
      controller: {
        createVolume: async () => ({}),
        deleteVolume: async () => ({}),
        validateVolumeCapabilities: async () => ({}),
        listVolumes: async ({ startingToken }) => ({
          entries: [{ volume: { volumeId: `vol-${startingToken}` } }],
          nextToken: { "": "a", a: "b" }[startingToken] ?? "",
        }),
      },
    });
    const socket = folder.join("paged.sock");
    stack.use(await serveDriver({ endpoint: socket, driver: paged }));
    const { stdout } = await run("list", "--endpoint", socket);
    assert.deepEqual(stdout.toString().match(/vol-\w*/g), ["vol-", "vol-a", "vol-b"]);
  });

  test("a server that is no driver is told so", async () => {
    const socket = folder.join("other.sock");
    stack.use(await serveGrpc({ socket, services: [] }));
    const { stderr } = await run("info", "--endpoint", socket);
    assert.match(stderr.toString(), /UNIMPLEMENTED: .*; is this a CSI driver's socket\?/);
  });

  test("secrets come from a file and are printed nowhere", async () => {
    writeFileSync(folder.join("secrets.yaml"), "password: hunter2\n");
    const { stdout, stderr } = await run(
      "create",
      "s",
      "--size",
      "4Mi",
      "--secrets-file",
      folder.join("secrets.yaml"),
      "--json",
    );
    assert.equal(/hunter2/.test(stdout.toString() + stderr.toString()), false);
    const { volume } = JSON.parse(stdout.toString()) as { volume: { volumeId: string } };
    await text("delete", volume.volumeId);
  });
});
