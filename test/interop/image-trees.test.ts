import assert from "node:assert/strict";
import { linkSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { runCommand, silentLogger } from "@tripod/base";
import { isolateNetwork, lsetxattr, unmount } from "@tripod/linux";
import { compareTrees, digestOf, type Image, Images } from "@tripod/oci";
import {
  type CriProcess,
  interop,
  peer,
  startContainerd,
  startRegistry,
  tempRoot,
  type TempRoot,
  type TestRegistry,
} from "@tripod/testing";
import { makeOddTree } from "./odd-tree.ts";

// An image of five layers and every kind of file goes from every writer to every reader: the digests stay, and the tree is the one that
// umoci unpacks. So is that of three thousand files in one layer.

const skopeo = (...args: string[]) => runCommand("skopeo", args);
const umoci = (...args: string[]) => runCommand("umoci", args);
/**
 * What containerd 1.6 makes of a layer: folders that a layer changes without describing them get the time of unpacking, times before 1970
 * become 1970, capabilities are lost where the owner is set after them, attributes of "trusted" are left out.
 */
const containerdsOwn = /: (changed at|attributes .* instead of .*(trusted|security\.capability))/;
const insecure = ["--src-tls-verify=false", "--dest-tls-verify=false"];

let root: TempRoot;
let registry: TestRegistry;
let containerd: CriProcess;
let images: Images;
let image: Image;
const stack = new AsyncDisposableStack();
const at = (name: string): string => join(root.path, name);
const ctr = async (...args: string[]): Promise<string> => {
  const command = ["--address", containerd.socket, "--namespace", "trees", ...args];
  return (await runCommand("ctr", command, { timeoutMs: 60_000 })).stdout.toString();
};
/** What umoci unpacks. */
const expected = (): string => at("unpacked/rootfs");
const layout = (): string => `${at("layout")}:made`;

before(async () => {
  isolateNetwork();
  root = stack.use(tempRoot());
  registry = stack.use(await startRegistry());
  const cniConfDir = at("net.d");
  mkdirSync(cniConfDir);
  containerd = stack.use(await startContainerd({ dir: at("containerd"), sandboxImage: "none", cniConfDir }));
  images = stack.use(await Images.open({ layout: root.layout, log: silentLogger }));
  await umoci("init", "--layout", at("layout"));
  await makeBase("made", 2);
  await addLayers();
  await umoci("unpack", "--image", layout(), at("unpacked"));
  [image = assert.fail("nothing was imported")] = await images.importArchive(at("layout"), { name: "made" });
  for (const target of ["exported.tar", "exported/"]) await images.exportArchive(image.id, at(target));
  await images.push(image.id, { target: `${registry.host}/tripod:1` });
});
after(() => stack.disposeAsync());

async function addLayer(tag: string, folder: string, members: readonly string[]): Promise<void> {
  const options = ["--format=posix", "--sparse", "--xattrs", "--xattrs-include=*", "--no-recursion"];
  const tar = at("layer.tar");
  await runCommand("tar", [...options, "--numeric-owner", "-C", folder, "-cf", tar, ...members]);
  await umoci("raw", "add-layer", "--image", `${at("layout")}:${tag}`, tar);
}

/** An image of one layer, written by GNU tar, with `folders` x 100 plain files and one of everything else. */
async function makeBase(tag: string, folders: number): Promise<void> {
  const tree = at(`tree-${tag}`);
  mkdirSync(tree);
  makeOddTree(tree, folders);
  await umoci("new", "--image", `${at("layout")}:${tag}`);
  const { stdout } = await runCommand("find", [tree, "-printf", "./%P\\0"]);
  writeFileSync(at("members"), stdout);
  await addLayer(tag, tree, ["--null", `--files-from=${at("members")}`]);
}

/** Layers by umoci's comparison, by its insert (opaque), and by hand with whiteouts before and after what they spare. */
async function addLayers(): Promise<void> {
  await umoci("unpack", "--image", layout(), at("bundle"));
  const inside = (name: string): string => join(at("bundle/rootfs"), name);
  for (const gone of ["gone", "gone-folder", "file-to-folder", "file-to-link", "remade"])
    rmSync(inside(`replaced/${gone}`), { recursive: true });
  for (const made of ["file-to-folder", "remade"]) mkdirSync(inside(`replaced/${made}/new`), { recursive: true });
  symlinkSync("kept", inside("replaced/file-to-link"));
  writeFileSync(inside("replaced/remade/new/file"), "new");
  writeFileSync(inside("replaced/added"), "more");
  linkSync(inside("replaced/added"), inside("odd/added-too"));
  lsetxattr(inside("replaced/kept"), "user.since", { value: Buffer.from("layer 2") });
  await umoci("repack", "--image", layout(), at("bundle"));

  mkdirSync(at("insert"));
  writeFileSync(at("insert/only"), "this");
  await umoci("insert", "--image", layout(), "--opaque", at("insert"), "/replaced/opaque");

  const hand = (name: string, content = ""): void => writeFileSync(join(at("hand"), name), content);
  mkdirSync(at("hand/replaced/opaque-later/fresh"), { recursive: true });
  mkdirSync(at("hand/plain"));
  for (const name of [".wh.doomed", ".wh.never-was", "opaque-later/.wh..wh..opq"]) hand(`replaced/${name}`);
  hand("replaced/opaque-later/fresh/new", "new");
  // umoci writes whiteouts of what was in such a folder, too, which containerd refuses.
  hand("replaced/folder-to-file", "file");
  symlinkSync("kept", at("hand/replaced/folder-to-link"));
  hand("plain/.wh.7");
  // Neither the root nor "replaced" and "plain" is described: they stay as they are.
  await addLayer("made", at("hand"), [
    "replaced/.wh.doomed",
    "replaced/folder-to-file",
    "replaced/folder-to-link",
    "replaced/opaque-later",
    "replaced/opaque-later/fresh",
    "replaced/opaque-later/fresh/new",
    "replaced/opaque-later/.wh..wh..opq",
    "replaced/.wh.never-was",
    "plain/.wh.7",
  ]);
  // A layer above a whiteout brings the name back.
  mkdirSync(at("back/plain/7"), { recursive: true });
  writeFileSync(at("back/plain/7/again"), "back");
  await addLayer("made", at("back"), ["plain/7", "plain/7/again"]);
}

const sameTree = async (found: string, peersOwn = /^$/): Promise<void> => {
  const differences = await compareTrees(expected(), found);
  assert.deepEqual(
    differences.filter((line) => !peersOwn.test(line)),
    [],
  );
};

/** A store of its own takes the image by `take`: the same layers, and the same digests of everything where they are to stay. */
async function taken(
  take: (store: Images) => Promise<Image | undefined>,
  kept: "all" | "layers" = "all",
): Promise<void> {
  await using fresh = tempRoot();
  await using store = await Images.open({ layout: fresh.layout, log: silentLogger });
  const found = await take(store); // unpacked, and each layer's own digest checked
  assert.deepEqual(found?.config.rootfs, image.config.rootfs);
  if (kept === "layers") return;
  assert.equal(found?.manifest.digest, image.manifest.digest);
  assert.deepEqual(found?.layers, image.layers);
  assert.equal(found?.id, image.id);
}

describe(interop({ interface: "OCI image", caller: peer("umoci"), callee: "Tripod imports" }), () => {
  test("a layout of five layers with every kind of file unpacks to umoci's own tree, file by file", async () => {
    assert.equal(image.layers.length, 5);
    const { rootfs } = await images.prepareRootfs("c", image.id);
    await sameTree(rootfs);
    await images.removeRootfs("c");
    assert.deepEqual((await images.verify({ deep: true })).damaged, []);
  });

  test("one layer of three thousand files does, too", async () => {
    await makeBase("large", 30);
    await umoci("unpack", "--image", `${at("layout")}:large`, at("large"));
    await skopeo("copy", `oci:${at("layout")}:large`, `oci:${at("large-layout")}:large`);
    const [large] = await images.importArchive(at("large-layout"), { name: "large" });
    const { rootfs } = await images.prepareRootfs("c", large?.id ?? "");
    assert.deepEqual(await compareTrees(at("large/rootfs"), rootfs), []);
    await images.removeRootfs("c");
  });
});

describe(interop({ interface: "OCI image", caller: "Tripod exports", callee: peer("umoci") }), () => {
  const manifestOf = (folder: string): string =>
    JSON.parse(readFileSync(join(folder, "index.json"), "utf8")).manifests[0].digest;
  test("an exported layout and archive have umoci's own digests and unpack to the same tree", async () => {
    const folder = at("from-archive");
    mkdirSync(folder);
    await runCommand("tar", ["-xf", at("exported.tar"), "-C", folder]);
    for (const each of [folder, at("exported")]) assert.equal(manifestOf(each), image.manifest.digest);
    await runCommand("diff", ["-r", join(folder, "blobs"), join(at("exported"), "blobs")]);
    const tag = (await umoci("list", "--layout", folder)).stdout.toString().trim();
    await umoci("unpack", "--image", `${folder}:${tag}`, at("again"));
    await sameTree(at("again/rootfs"));
  });
});

describe(interop({ interface: "OCI image", caller: "Tripod pushes, exports", callee: peer("skopeo") }), () => {
  test("from registry, layout and archives it reads the same bytes", async () => {
    for (const place of [
      `docker://${registry.host}/tripod:1`,
      `oci:${at("exported")}`,
      `oci-archive:${at("exported.tar")}`,
    ]) {
      const tls = place.startsWith("docker:") ? ["--tls-verify=false"] : [];
      assert.equal(digestOf((await skopeo("inspect", "--raw", ...tls, place)).stdout), image.manifest.digest, place);
    }
    const target = `dir:${at("skopeo-dir")}`;
    await skopeo("copy", ...insecure, "--preserve-digests", `docker://${registry.host}/tripod:1`, target);
    for (const { digest } of image.layers)
      assert.equal(digestOf(readFileSync(at(`skopeo-dir/${digest.slice(7)}`))), digest);
    const config = await skopeo("inspect", "--config", "--raw", `docker-archive:${at("exported.tar")}`);
    assert.equal(digestOf(config.stdout), image.id);
  });
});

describe(interop({ interface: "OCI image", caller: peer("skopeo"), callee: "Tripod pulls, imports" }), () => {
  const copied = async (target: string): Promise<string> => {
    await skopeo("copy", ...insecure, `oci:${layout()}`, target);
    return target.slice(target.indexOf(":") + 1);
  };
  test("what it pushes is pulled with the digests of its layout", async () => {
    const name = (await copied(`docker://${registry.host}/skopeo:1`)).slice(2);
    await taken((store) => store.pull(name));
  });
  test("its layouts and OCI archives keep the digests", async () => {
    for (const target of [`oci:${at("skopeo-layout")}:1`, `oci-archive:${at("skopeo.tar")}:1`]) {
      const path = (await copied(target)).slice(0, -2);
      await taken(async (store) => (await store.importArchive(path))[0]);
    }
  });
  test("its docker archive and docker manifest hold the same layers", async () => {
    await copied(`docker-archive:${at("skopeo-docker.tar")}:made:1`);
    await taken(async (store) => (await store.importArchive(at("skopeo-docker.tar")))[0], "layers");
    await skopeo("copy", ...insecure, "--format=v2s2", `oci:${layout()}`, `docker://${registry.host}/skopeo:docker`);
    await taken((store) => store.pull(`${registry.host}/skopeo:docker`), "layers");
  });
});

describe(interop({ interface: "OCI image", caller: "Tripod pushes, exports", callee: peer("containerd") }), () => {
  const mounted = async (name: string): Promise<void> => {
    const target = at("mounted");
    mkdirSync(target, { recursive: true });
    await ctr("images", "mount", name, target);
    try {
      await sameTree(target, containerdsOwn);
    } finally {
      unmount(target, { detach: true });
      await ctr("snapshots", "rm", target);
    }
  };
  const digests = async (): Promise<string> => ctr("images", "ls");

  test("what is pushed is pulled by the same digest and mounted to the same tree", async () => {
    await ctr("images", "pull", "--plain-http", `${registry.host}/tripod:1`);
    assert.ok((await digests()).includes(image.manifest.digest));
    await mounted(`${registry.host}/tripod:1`);
  });
  test("what is exported is imported by the same digest", async () => {
    await ctr("images", "import", "--base-name", "imported", at("exported.tar"));
    const line = (await digests()).split("\n").find((text) => text.startsWith(image.repoTags[0] ?? "?"));
    assert.match(line ?? "none", new RegExp(image.manifest.digest));
  });
});

describe(interop({ interface: "OCI image", caller: peer("containerd"), callee: "Tripod pulls, imports" }), () => {
  test("what it pulled is pushed and exported by the same digest, pulled and imported", async () => {
    const name = `${registry.host}/containerd:1`;
    await ctr("images", "pull", "--plain-http", `${registry.host}/tripod:1`);
    await ctr("images", "push", "--plain-http", name, `${registry.host}/tripod:1`);
    await taken((store) => store.pull(name));
    await ctr("images", "export", at("containerd.tar"), `${registry.host}/tripod:1`);
    await taken(async (store) => (await store.importArchive(at("containerd.tar")))[0]);
  });
});
