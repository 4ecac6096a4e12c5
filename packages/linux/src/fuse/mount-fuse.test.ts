import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { constants, existsSync, mkdirSync } from "node:fs";
import { test, type TestContext } from "node:test";
import { isTripodError, runCommand, silentLogger } from "@tripod/base";
import { createUserNamespace } from "../namespaces/create-user-namespace.ts";
import { removeNamespace } from "../namespaces/remove-namespace.ts";
import { TemporaryFolder } from "../testing/temporary-folder.ts";
import { FuseError } from "./fuse-file-system.ts";
import { MemoryFiles } from "./memory-files-fixture.ts";
import { type FuseMount, fuseProblem, mountFuse } from "./mount-fuse.ts";

const skip = fuseProblem() ?? false;
const folder = constants.S_IFDIR | 0o755;
const client = new URL("./fuse-client-fixture.ts", import.meta.url).pathname;

/** Who asks is always another process: this one serves, and must not wait in what it serves. */
const sh = async (script: string, ...words: string[]): Promise<string> =>
  (await runCommand("/bin/sh", ["-c", script, "sh", ...words])).stdout.toString();

function serve(
  t: TestContext,
  files: MemoryFiles,
): { readonly at: string; readonly mount: FuseMount; readonly home: TemporaryFolder } {
  const home = new TemporaryFolder("fuse");
  const at = home.join("files");
  mkdirSync(at);
  const mount = mountFuse(files, { target: at, source: "test", log: silentLogger });
  t.after(() => {
    mount[Symbol.dispose]();
    home[Symbol.dispose]();
  });
  return { at, mount, home };
}

test("files that this process serves are listed, read and described to others, and nobody changes them", {
  skip,
}, async (t) => {
  const big = Buffer.alloc(3 << 20, "0123456789abcdef");
  const { at } = serve(
    t,
    new MemoryFiles({
      etc: { mode: folder },
      "etc/motd": { content: Buffer.from("hello\n"), uid: 7, mode: constants.S_IFREG | 0o4750 },
      "etc/link": { mode: constants.S_IFLNK | 0o777, target: "motd" },
      big: { content: big },
      null: { mode: constants.S_IFCHR | 0o666 },
    }),
  );
  assert.equal(await sh('cd "$1" && find . | sort', at), ".\n./big\n./etc\n./etc/link\n./etc/motd\n./null\n");
  assert.equal(await sh('stat -c "%a %u %g %s %Y %F" "$1/etc/motd"', at), "4750 7 7 6 1600000000 regular file\n");
  assert.equal(await sh('readlink "$1/etc/link"; cat "$1/etc/link"', at), "motd\nhello\n");
  assert.equal(await sh('dd if="$1/big" bs=1 skip=2097155 count=7 status=none', at), "3456789");
  assert.equal(await sh('cmp "$1/big" - < "$1/big" && wc -c < "$1/big"', at), `${big.length}\n`);
  assert.equal(await sh('cat "$1/absent" 2>&1 || true', at), `cat: ${at}/absent: No such file or directory\n`);
  for (const change of [
    'touch "$1/new"',
    'rm -f "$1/big"',
    'chmod 600 "$1/big"',
    'mkdir "$1/d"',
    'echo > "$1/etc/motd"',
  ]) {
    await assert.rejects(sh(change, at), /Read-only file system/, change);
  }
});

test("what was read once is not asked for again, nor what is not there", { skip }, async (t) => {
  const files = new MemoryFiles({ file: { content: Buffer.alloc(100_000, 1) } });
  const { at } = serve(t, files);
  await sh('cat "$1/file"', at);
  const { reads } = files;
  assert(reads > 0);
  await sh('cat "$1/file"; cat "$1/file"', at);
  assert.equal(files.reads, reads);
});

test("a folder of thousands of names is listed whole", { skip }, async (t) => {
  const names = Array.from({ length: 5000 }, (_, index) => `${index}-${"x".repeat(index % 200)}`);
  const { at } = serve(
    t,
    new MemoryFiles(Object.fromEntries(names.map((name) => [name, { content: Buffer.from("x") }]))),
  );
  assert.deepEqual((await sh('ls -U "$1"', at)).trim().split("\n").toSorted(), names.toSorted());
});

test("extended attributes and totals are told, and owners are those of a user namespace where it is mounted with one", {
  skip,
}, async (t) => {
  const { at, home } = serve(
    t,
    new MemoryFiles({ file: { content: Buffer.from("x"), uid: 5, xattrs: { "user.one": "1", "trusted.two": "22" } } }),
  );
  const ask = async (...words: string[]): Promise<unknown> =>
    JSON.parse((await runCommand(process.execPath, [client, at, "file", ...words])).stdout.toString());
  const told = { names: ["user.one", "trusted.two"], values: ["1", "22"], absent: null, content: "x", files: 2 };
  assert.deepEqual(await ask(), told);
  const namespace = home.join("userns");
  const mapping = { containerId: 0, hostId: 70_000, length: 1000 };
  await createUserNamespace(namespace, { uids: mapping, gids: mapping });
  t.after(() => removeNamespace(namespace));
  mkdirSync(home.join("mapped"));
  try {
    assert.deepEqual(await ask(home.join("mapped"), namespace), told);
  } catch (error) {
    if (/mount_setattr.*EINVAL/.test(String(error))) return t.skip("this kernel cannot id-map FUSE (Linux 6.12)");
    throw error;
  }
  assert.equal(await sh('stat -c "%u %g" "$1/file"', home.join("mapped")), "70005 70005\n");
});

test("a read that fails is an error of its own, the next one may do well", { skip }, async (t) => {
  let broken = true;
  const { at } = serve(
    t,
    new MemoryFiles({
      file: {
        content: Buffer.from("good"),
        async read() {
          if (broken) throw new FuseError("EIO");
          return Buffer.from("good");
        },
      },
    }),
  );
  await assert.rejects(sh('cat "$1/file"', at), /Input\/output error/);
  broken = false;
  assert.equal(await sh('cat "$1/file"', at), "good");
});

test("who waits for a read that never ends can be killed, and the file system is told", { skip }, async (t) => {
  const asked = Promise.withResolvers<AbortSignal>();
  const never = new Promise<Uint8Array>(() => undefined);
  const { at, mount } = serve(
    t,
    new MemoryFiles({
      file: {
        content: Buffer.alloc(10),
        read(signal) {
          asked.resolve(signal);
          return Promise.race([never, once(signal, "abort").then(() => Buffer.alloc(0))]);
        },
      },
    }),
  );
  // O_DIRECT: this very read waits, not one that the kernel makes ahead of it.
  const reader = spawn("dd", [`if=${at}/file`, "iflag=direct", "bs=4096"], { stdio: "ignore" });
  const ended = once(reader, "exit");
  const signal = await asked.promise;
  assert(!signal.aborted);
  reader.kill("SIGKILL");
  assert.deepEqual(await ended, [null, "SIGKILL"]);
  assert(signal.aborted);
  assert(mount.unmount());
  await mount.ended;
});

test("an overlay honours whiteouts and opaque folders of it, and is served on when it is mounted nowhere else", {
  skip,
}, async (t) => {
  const { at, mount, home } = serve(
    t,
    new MemoryFiles({
      whiteout: { mode: constants.S_IFCHR },
      opaque: { mode: folder, xattrs: { "trusted.overlay.opaque": "y" } },
      "opaque/new": { content: Buffer.from("new") },
      merged: { mode: folder },
      "merged/late": { content: Buffer.from("late") },
    }),
  );
  await sh(
    'cd "$1" && mkdir -p low/opaque low/merged up work over && touch low/whiteout low/opaque/old low/merged/old',
    home.path,
  );
  await sh('cd "$1" && mount -t overlay -o "lowerdir=files:low,upperdir=up,workdir=work" overlay over', home.path);
  assert(mount.unmount());
  assert(!mount.unmount());
  assert.equal(
    await sh('cd "$1/over" && find . -type f | sort', home.path),
    "./merged/late\n./merged/old\n./opaque/new\n",
  );
  assert.equal(
    await sh('cd "$1/over" && cat merged/late && echo more >> merged/late && cat merged/late', home.path),
    "latelatemore\n",
  );
  let ended = false;
  void mount.ended.then(() => (ended = true));
  assert(!ended);
  await sh('umount "$1/over"', home.path);
  await mount.ended;
  assert.deepEqual(await sh('ls "$1"', at), "");
});

test("a machine without /dev/fuse is told", { skip: existsSync("/dev/fuse") ? "this machine has it" : false }, () => {
  assert.match(fuseProblem() ?? "", /modprobe fuse/);
  assert.throws(
    () => mountFuse(new MemoryFiles({}), { target: "/nowhere", source: "test", log: silentLogger }),
    (error) => isTripodError(error, "failed-precondition"),
  );
});
