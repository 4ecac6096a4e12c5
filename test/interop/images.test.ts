import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { runCommand, silentLogger } from "@tripod/base";
import { isolateNetwork, unmount } from "@tripod/linux";
import { type Image, Images } from "@tripod/oci";
import {
  type CriProcess,
  interop,
  makeBusyboxRootfs,
  peer,
  startContainerd,
  startRegistry,
  tempRoot,
  type TempRoot,
  type TestRegistry,
} from "@tripod/testing";

const skopeo = (...args: string[]) => runCommand("skopeo", args);
const umoci = (...args: string[]) => runCommand("umoci", args);

/** The same image goes from every writer to every reader: by registry and by archive. */
let root: TempRoot;
let registry: TestRegistry;
let containerd: CriProcess;
let images: Images;
let image: Image;
const stack = new AsyncDisposableStack();
const at = (name: string): string => join(root.path, name);
const ctr = (...args: string[]) =>
  runCommand("ctr", ["--address", containerd.socket, "--namespace", "interop", ...args], { timeoutMs: 30_000 });

before(async () => {
  isolateNetwork();
  root = stack.use(tempRoot());
  registry = stack.use(await startRegistry());
  const cniConfDir = at("net.d");
  mkdirSync(cniConfDir);
  containerd = stack.use(await startContainerd({ dir: at("containerd"), sandboxImage: "none", cniConfDir }));
  images = stack.use(await Images.open({ layout: root.layout, log: silentLogger }));
  const context = at("rootfs");
  mkdirSync(context);
  await makeBusyboxRootfs(context);
  image = await images.build({ context, tags: ["made:1"], spec: { cmd: ["/bin/sh"], labels: { made: "here" } } });
  await images.push("made:1", { target: `${registry.host}/tripod:1` });
  await images.exportArchive("made:1", at("tripod.tar"));
});
after(() => stack.disposeAsync());

/** Whether a folder holds the image's files as they were. */
function looksRight(rootfs: string): void {
  assert.equal(readlinkSync(join(rootfs, "bin/sh")), "busybox");
  assert.deepEqual(readFileSync(join(rootfs, "bin/busybox")), readFileSync(join(at("rootfs"), "bin/busybox")));
}

/** A store of its own takes the image by `take`; it must be whole, with the same layers and configuration. */
async function taken(take: (store: Images) => Promise<Image | undefined>, config: Image["config"]): Promise<void> {
  await using fresh = tempRoot();
  await using store = await Images.open({ layout: fresh.layout, log: silentLogger });
  const found = await take(store);
  assert.deepEqual(found?.config.rootfs, config.rootfs);
  assert.deepEqual(found?.config.config, config.config);
  const { rootfs } = await store.prepareRootfs("c", found?.id ?? "");
  looksRight(rootfs);
  await store.removeRootfs("c");
}

describe(interop({ interface: "OCI image", caller: "Tripod pushes, exports", callee: peer("skopeo") }), () => {
  test("what is pushed is copied, with the same configuration", async () => {
    const { stdout } = await skopeo("inspect", "--config", "--tls-verify=false", `docker://${registry.host}/tripod:1`);
    assert.deepEqual(JSON.parse(stdout.toString()), image.config);
    await skopeo("copy", "--src-tls-verify=false", `docker://${registry.host}/tripod:1`, `dir:${at("copied")}`);
    assert.ok(existsSync(join(at("copied"), "manifest.json")));
  });

  test("what is exported is read as a docker and as an OCI archive", async () => {
    for (const reference of [`docker-archive:${at("tripod.tar")}`, `oci-archive:${at("tripod.tar")}`]) {
      const { stdout } = await skopeo("inspect", "--config", reference);
      assert.deepEqual(JSON.parse(stdout.toString()), image.config);
    }
  });
});

describe(interop({ interface: "OCI image", caller: "Tripod's store", callee: peer("skopeo") }), () => {
  test("is an OCI layout that is read by whole names, and follows each change of them", async () => {
    const layout = root.layout.contentDir;
    const named = async (name: string): Promise<boolean> =>
      (await runCommand("skopeo", ["inspect", "--config", `oci:${layout}:${name}`], { okExitCodes: "any" }))
        .exitCode === 0;
    const { stdout } = await skopeo("inspect", "--config", `oci:${layout}:docker.io/library/made:1`);
    assert.deepEqual(JSON.parse(stdout.toString()), image.config);
    await skopeo("copy", `oci:${layout}:docker.io/library/made:1`, `dir:${at("from-store")}`);
    images.tag("made:1", "other:2");
    assert.ok(await named("docker.io/library/other:2"));
    await images.untag("other:2");
    assert.ok(!(await named("docker.io/library/other:2")));
  });
});

describe(interop({ interface: "OCI image", caller: "Tripod exports", callee: peer("umoci") }), () => {
  test("an exported archive is an OCI layout that is unpacked", async () => {
    mkdirSync(at("layout"));
    await runCommand("tar", ["-xf", at("tripod.tar"), "-C", at("layout")]);
    const { stdout } = await umoci("list", "--layout", at("layout"));
    const tag = stdout.toString().trim();
    await umoci("unpack", "--image", `${at("layout")}:${tag}`, at("unpacked"));
    looksRight(join(at("unpacked"), "rootfs"));
  });
});

describe(interop({ interface: "OCI image", caller: "Tripod pushes, exports", callee: peer("containerd") }), () => {
  const mounted = async (name: string): Promise<void> => {
    const target = at("mounted");
    mkdirSync(target, { recursive: true });
    await ctr("images", "mount", name, target);
    try {
      looksRight(target);
    } finally {
      unmount(target, { detach: true });
      await ctr("snapshots", "rm", target);
    }
  };

  test("what is pushed is pulled and mounted", async () => {
    await ctr("images", "pull", "--plain-http", `${registry.host}/tripod:1`);
    await mounted(`${registry.host}/tripod:1`);
  });

  test("what is exported is imported and mounted", async () => {
    await ctr("images", "import", at("tripod.tar"));
    await mounted("docker.io/library/made:1");
  });
});

describe(interop({ interface: "OCI image", caller: peer("containerd"), callee: "Tripod pulls, imports" }), () => {
  before(async () => {
    await ctr("images", "import", at("tripod.tar"));
  });

  test("what it pushes is pulled", async () => {
    const name = `${registry.host}/containerd:1`;
    await ctr("images", "push", "--plain-http", name, "docker.io/library/made:1");
    await taken((store) => store.pull(name), image.config);
  });

  test("what it exports is imported", async () => {
    await ctr("images", "export", at("containerd.tar"), "docker.io/library/made:1");
    await taken(async (store) => (await store.importArchive(at("containerd.tar")))[0], image.config);
  });
});

describe(interop({ interface: "OCI image", caller: peer("skopeo"), callee: "Tripod pulls, imports" }), () => {
  for (const [format, name] of [
    ["oci", "an OCI manifest"],
    ["v2s2", "a docker manifest"],
  ] as const)
    test(`what it pushes with ${name} is pulled`, async () => {
      const target = `${registry.host}/skopeo:${format}`;
      const source = `docker-archive:${at("tripod.tar")}`;
      await skopeo("copy", "--dest-tls-verify=false", `--format=${format}`, source, `docker://${target}`);
      await taken((store) => store.pull(target), image.config);
    });

  for (const kind of ["docker-archive", "oci-archive"] as const)
    test(`its ${kind} is imported`, async () => {
      const archive = at(`skopeo-${kind}.tar`);
      await skopeo("copy", `docker-archive:${at("tripod.tar")}`, `${kind}:${archive}:third:3`);
      await taken(async (store) => (await store.importArchive(archive))[0], image.config);
    });
});

describe(interop({ interface: "OCI image", caller: peer("umoci"), callee: "Tripod imports" }), () => {
  test("a layer that it adds, with files removed, is imported and unpacked", async () => {
    const layout = at("umoci");
    await skopeo("copy", `docker-archive:${at("tripod.tar")}`, `oci:${layout}:one`);
    await umoci("unpack", "--image", `${layout}:one`, at("bundle"));
    await runCommand("chroot", [join(at("bundle"), "rootfs"), "/bin/sh", "-c", "rm /etc/group; echo more >/etc/more"]);
    await umoci("repack", "--image", `${layout}:two`, at("bundle"));
    await using fresh = tempRoot();
    await using store = await Images.open({ layout: fresh.layout, log: silentLogger });
    const found = (await store.importArchive(layout)).find(({ layers }) => layers.length === 2);
    const { rootfs } = await store.prepareRootfs("c", found?.id ?? "");
    looksRight(rootfs);
    assert.ok(!existsSync(join(rootfs, "etc/group")));
    assert.equal(readFileSync(join(rootfs, "etc/more"), "utf8"), "more\n");
    await store.removeRootfs("c");
  });
});
