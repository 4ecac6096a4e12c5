import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { isTripodError, runCommand, silentLogger } from "@tripod/base";
import { fuseProblem, mountInfo, waitForExit } from "@tripod/linux";
import { tempRoot } from "@tripod/testing";
import { digestOf } from "../digest.ts";
import { Images } from "../images.ts";
import {
  estargzLayer,
  file,
  type LazyRegistry,
  lazyRegistry,
  type MemoryLayer,
  noise,
  nothingServed,
  other,
  zstdLayer,
} from "./lazy-image-fixture.ts";

const skip = fuseProblem() ?? false;
const big = noise(9_000_000, 7);
const passwd = Buffer.from("root:x:0:0::/:/bin/sh\n");

/** A layer of 9 MB; what is read first lies at its end. */
const members = () => [
  other("etc/", "directory"),
  file("big", big),
  file("etc/passwd", passwd),
  file("late", Buffer.from("late\n")),
];

let made: Promise<MemoryLayer> | undefined;
/** Of these, in eStargz; compressed once. */
const bigLayer = (): Promise<MemoryLayer> => (made ??= estargzLayer(members()));

const pidOf = (owner: string | undefined): number => Number(owner?.split("-")[0]);

interface Fixture extends AsyncDisposable {
  readonly root: ReturnType<typeof tempRoot>;
  readonly images: Images;
  readonly registry: LazyRegistry;
}

async function start(layers: Parameters<typeof lazyRegistry>[0]): Promise<Fixture> {
  await using stack = new AsyncDisposableStack();
  const registry = stack.use(await lazyRegistry(layers));
  const root = stack.use(tempRoot());
  const images = stack.use(await Images.open({ layout: root.layout, log: silentLogger }));
  stack.defer(() => images.endLazyStarts());
  const kept = stack.move();
  return { root, images, registry, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

for (const [kind, makeLayer] of [
  ["eStargz", bigLayer],
  ["zstd:chunked", () => zstdLayer(members())],
] as const) {
  test(`an image in ${kind} is used before it is whole, then made whole, and its process ends with its last user`, {
    skip,
  }, async () => {
    await using fixture = await start([await makeLayer()]);
    const { images, registry, root } = fixture;
    const image = await images.pull(registry.name, { lazy: {} });
    assert.equal(image.wholeBecause, undefined);
    assert.equal(image.lazy, true);
    const [served] = images.lazyLayers();
    assert.equal(served?.blob, image.layers[0]?.digest);
    assert(registry.partBytes() < 1_000_000, `${registry.partBytes()} bytes before anything is read`);

    const { rootfs } = await images.prepareRootfs("one", registry.name);
    assert.equal(await readFile(join(rootfs, "late"), "utf8"), "late\n");
    assert.deepEqual(await readFile(join(rootfs, "etc/passwd")), passwd);
    assert(registry.partBytes() < 1_000_000, `${registry.partBytes()} bytes after small files`);
    assert.equal(digestOf(await readFile(join(rootfs, "big"))), digestOf(big));
    assert.equal(images.lazyLayers().length, 1);

    registry.release();
    await nothingServed(root.layout);
    assert.deepEqual(images.lazyLayers(), []);
    assert.equal((await images.verify({ deep: true })).damaged.length, 0);
    // From now on what is made is made of the whole layer, and what was made before lives on.
    const second = await images.prepareRootfs("two", registry.name);
    assert.equal(digestOf(await readFile(join(second.rootfs, "big"))), digestOf(big));
    await runCommand("/bin/sh", ["-c", "echo 3 > /proc/sys/vm/drop_caches || true"]);
    assert.equal(digestOf(await readFile(join(rootfs, "big"))), digestOf(big));
    assert(!mountInfo().some(({ mountPoint, type }) => type === "fuse.tripod" && mountPoint.startsWith(root.path)));

    const ended = waitForExit(pidOf(served?.owner));
    await images.removeRootfs("one");
    await ended;
    assert.equal(await readFile(join(second.rootfs, "late"), "utf8"), "late\n");
    await images.removeRootfs("two");
  });
}

test("a chunk that is not what its digest says is an error, never wrong bytes; the right one is read once there is one", {
  skip,
}, async () => {
  await using fixture = await start([await bigLayer()]);
  const { images, registry } = fixture;
  await images.pull(registry.name, { lazy: {} });
  const { rootfs } = await images.prepareRootfs("one", registry.name);
  registry.onPart = (request, response) => {
    const [, from = "0", to = "0"] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? [];
    const length = Number(to) - Number(from) + 1;
    response.writeHead(206, { "content-range": `bytes ${from}-${to}/*`, "content-length": String(length) });
    response.end(Buffer.alloc(length, 1));
    return true;
  };
  await assert.rejects(readFile(join(rootfs, "big")), { code: "EIO" });
  assert.match(images.lazyLayers()[0]?.problem ?? "", /chunk sha256:[0-9a-f]{64}: .*nobody gives the right one/);
  assert.equal(await readFile(join(rootfs, "late"), "utf8"), "late\n"); // came before
  registry.onPart = undefined;
  assert.equal(digestOf(await readFile(join(rootfs, "big"))), digestOf(big));
  await images.removeRootfs("one");
});

test("while the registry is gone what is not there is an error after a while, and comes when it is back", {
  skip,
}, async () => {
  await using fixture = await start([await bigLayer()]);
  const { images, registry } = fixture;
  await images.pull(registry.name, { lazy: { patienceMs: 2500 } });
  const { rootfs } = await images.prepareRootfs("one", registry.name);
  let refused = 0;
  registry.onPart = (request) => {
    refused += 1;
    request.socket.destroy();
    return true;
  };
  const before = Date.now();
  await assert.rejects(readFile(join(rootfs, "big")), { code: "EIO" });
  assert(Date.now() - before > 2000);
  assert(refused > 1, "it was tried again");
  registry.onPart = undefined;
  assert.equal(digestOf(await readFile(join(rootfs, "big"))), digestOf(big));
  await images.removeRootfs("one");
});

test("what is made of a served layer lives on when who pulled is killed, and is known to who comes after it", {
  skip,
}, async () => {
  await using registry = await lazyRegistry([await bigLayer()]);
  await using root = tempRoot();
  const fixture = new URL("./pull-lazily-fixture.ts", import.meta.url).pathname;
  const killed = await runCommand(process.execPath, [fixture, root.path, registry.name], { okExitCodes: "any" });
  assert.equal(killed.exitCode, 137, killed.stderr.toString());
  const rootfs = killed.stdout.toString().trim();
  assert.equal(digestOf(await readFile(join(rootfs, "big"))), digestOf(big));
  await using images = await Images.open({ layout: root.layout, log: silentLogger });
  const image = images.get(registry.name);
  assert.equal(image?.lazy, true);
  const pid = pidOf(images.lazyLayers()[0]?.owner);
  assert.equal((await images.prepareRootfs("two", image.id)).rootfs, rootfs.replace(/one/, "two"));
  // Nobody may use it any more: it goes, with what was fetched of it.
  const ended = waitForExit(pid);
  await images.removeRootfs("one");
  await images.removeRootfs("two");
  await images.remove(image.id);
  await ended;
  await images.collectGarbage();
  assert.deepEqual(images.lazyLayers(), []);
  assert.deepEqual(readdirSync(join(root.layout.snapshotsDir, "lazy")), []);
  assert.deepEqual(readdirSync(join(root.layout.contentDir, "blobs/sha256")), []);
});

test("when the process that serves an image is killed its files are gone, and the next pull brings them back", {
  skip,
}, async () => {
  await using fixture = await start([await bigLayer()]);
  const { images, registry } = fixture;
  await images.pull(registry.name, { lazy: {} });
  const { rootfs } = await images.prepareRootfs("one", registry.name);
  const pid = pidOf(images.lazyLayers()[0]?.owner);
  process.kill(pid, "SIGKILL");
  await waitForExit(pid);
  await assert.rejects(readFile(join(rootfs, "big")), { code: "ENOTCONN" });
  await assert.rejects(images.prepareRootfs("two", registry.name), /has ended; pull the image again/);
  assert.equal(images.get(registry.name), undefined);
  await images.removeRootfs("one");
  await images.removeRootfs("two");
  await images.pull(registry.name, { lazy: {} });
  const again = await images.prepareRootfs("one", registry.name);
  assert.equal(digestOf(await readFile(join(again.rootfs, "big"))), digestOf(big));
  await images.removeRootfs("one");
});

test("a cancelled pull leaves no process and no mount behind", { skip }, async () => {
  await using fixture = await start([await bigLayer()]);
  const { images, registry, root } = fixture;
  const abort = new AbortController();
  registry.onPart = () => {
    abort.abort();
    return true; // and never answers
  };
  await assert.rejects(images.pull(registry.name, { lazy: {}, signal: abort.signal }), (error) =>
    isTripodError(error, "cancelled"),
  );
  assert.deepEqual(readdirSync(join(root.layout.snapshotsDir, "lazy")), []);
});

for (const [step, isEarly] of [
  ["oci.lazy.claimed", true],
  ["oci.lazy.mounted", true],
  ["oci.lazy.whole", false],
  ["oci.lazy.unmounted", false],
] as const) {
  test(`a process that is killed at ${step} leaves an image that can be used, and nothing else`, { skip }, async () => {
    await using fixture = await start([await bigLayer()]);
    const { images, registry, root } = fixture;
    registry.release();
    process.env["TRIPOD_FAILPOINT"] = step; // for processes that start from now on
    try {
      const { wholeBecause } = await images.pull(registry.name, { lazy: {} });
      if (isEarly) assert.match(wholeBecause ?? "", /ended without a word/);
    } finally {
      delete process.env["TRIPOD_FAILPOINT"];
    }
    const [served] = images.lazyLayers();
    if (served !== undefined) await waitForExit(pidOf(served.owner));
    const { rootfs } = await images.prepareRootfs("one", registry.name);
    assert.equal(await readFile(join(rootfs, "late"), "utf8"), "late\n");
    await images.removeRootfs("one");
    await images.collectGarbage();
    assert.deepEqual(readdirSync(join(root.layout.snapshotsDir, "lazy")), []);
    assert(!mountInfo().some(({ mountPoint }) => mountPoint.startsWith(root.path)));
  });
}

test("layers that are served stand on whole ones and on one another as whole ones do", { skip }, async () => {
  const tmp = { mode: 0o1777, uid: 3, gid: 4, mtime: 99 };
  await using fixture = await start([
    // Without a table of contents, so that it comes whole.
    {
      ...(await estargzLayer([other("tmp/", "directory", tmp), other("usr/", "directory"), file("usr/gone", passwd)])),
      annotations: {},
    },
    await estargzLayer([
      other("var/", "directory", { mode: 0o700, uid: 5 }),
      file("tmp/x", passwd),
      file("usr/.wh.gone", Buffer.alloc(0)),
      file("big", big),
    ]),
    await estargzLayer([
      file("var/lib/x", passwd, { mode: 0o4755, xattrs: new Map([["user.color", Buffer.from("blue")]]) }),
      file("tmp/.wh..wh..opq", Buffer.alloc(0)),
      other("tmp/link", "link", { linkName: "var/lib/x" }),
      other("dev/null", "char", { mode: 0o666, deviceMajor: 1, deviceMinor: 3 }),
      other("dev/pipe", "fifo"),
      other("sym", "symlink", { linkName: "var/lib/x" }),
    ]),
  ]);
  const { images, registry, root } = fixture;
  const pulled = images.pull(registry.name, { lazy: {} });
  registry.release(); // the lowest is fetched whole
  assert.equal((await pulled).wholeBecause, undefined);
  const { rootfs } = await images.prepareRootfs("one", registry.name);
  const list = async (folder: string): Promise<string> =>
    (
      await runCommand("/bin/sh", ["-c", "find . | sort | xargs stat -c '%n %A %u %g %s %Y %t %T %h' | sed '1d'"], {
        cwd: folder,
      })
    ).stdout
      .toString()
      .replace(/^.*stargz\.index\.json.*\n/m, "");
  const early = await list(rootfs);
  assert.match(early, /^\.\/tmp drwxrwxrwt 3 4 /m);
  assert.match(early, /^\.\/var drwx------ 5 0 /m);
  assert.doesNotMatch(early, /gone|tmp\/x/);
  await nothingServed(root.layout);
  const whole = await images.prepareRootfs("two", registry.name);
  // Folders have another size and number of links on a disk.
  const plain = (text: string): string => text.replace(/^(\S+ d\S+ \d+ \d+) \d+ (.*) \d+$/gm, "$1 $2");
  assert.equal(plain(early), plain(await list(whole.rootfs)));
  await images.removeRootfs("one");
  await images.removeRootfs("two");
});

for (const { what, layers, onPart, why } of [
  {
    what: "a layer without a table of contents",
    layers: async () => [{ ...(await bigLayer()), annotations: {} }],
    onPart: undefined,
    why: /has no table of contents that its manifest vouches for/,
  },
  {
    what: "a table of contents that is another than the manifest says",
    layers: async () => [
      {
        ...(await bigLayer()),
        annotations: { "containerd.io/snapshot/stargz/toc.digest": digestOf("other") },
      },
    ],
    onPart: undefined,
    why: /what came has the digest .*, the manifest says/,
  },
  {
    what: "a layer that has but the annotation",
    layers: async () => [{ ...(await bigLayer()), blob: noise(9_000_000, 3), diffId: digestOf("none") }],
    onPart: undefined,
    why: /has no footer/,
  },
  {
    what: "a registry that gives no parts",
    layers: async () => [await bigLayer()],
    onPart: ((_, response, blob) => {
      response.writeHead(200, { "content-length": String(blob.length) });
      response.end(blob);
      return true;
    }) satisfies LazyRegistry["onPart"],
    why: /does not give parts of blobs/,
  },
  {
    what: "little to fetch",
    layers: async () => [await estargzLayer([file("late", passwd)])],
    onPart: undefined,
    why: /^there are but \d+ bytes to fetch$/,
  },
]) {
  test(`a pull falls back to the whole image, and says why: ${what}`, { skip }, async () => {
    await using fixture = await start(await layers());
    const { images, registry, root } = fixture;
    registry.onPart = onPart;
    registry.release();
    const [pulled] = await Promise.allSettled([images.pull(registry.name, { lazy: {} })]);
    if (pulled.status === "fulfilled") {
      assert.match(pulled.value.wholeBecause ?? "", why);
      assert.equal(pulled.value.lazy, undefined);
      assert.equal(images.get(registry.name)?.wholeBecause, pulled.value.wholeBecause);
    } else assert.match(String(pulled.reason), /tar|gzip|digest|promises/, "the image itself is broken");
    assert.deepEqual(readdirSync(join(root.layout.snapshotsDir, "lazy")), []);
  });
}
