import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { runCommand, silentLogger } from "@tripod/base";
import { unmount } from "@tripod/linux";
import { compareTrees, digestOf, Images } from "@tripod/oci";
import { startContainerd, startRegistry, tempRoot } from "@tripod/testing";
import { benchLayers } from "../../bench/debian-layers.ts";
import { pushLayers } from "../../bench/push-layers.ts";

// By hand, as root, in a network namespace of its own or not: takes every image of a registry through Tripod, skopeo, umoci and containerd,
// and says for each whether the digests stay and the unpacked trees are the same.
//   node test/interop/every-image.ts --registry 127.0.0.1:5000      every image there
//   node test/interop/every-image.ts --debian                      a Debian root of 220 MB and 11,000 files, in one layer and in ten
const { values } = parseArgs({
  options: { registry: { type: "string" }, debian: { type: "boolean", default: false } },
});

await using root = tempRoot();
await using own = await startRegistry();
const at = (name: string): string => join(root.path, name);
mkdirSync(at("net.d"));
await using containerd = await startContainerd({
  dir: at("containerd"),
  sandboxImage: "none",
  cniConfDir: at("net.d"),
});
const slow = { timeoutMs: 300_000 };
const skopeo = (...args: string[]) => runCommand("skopeo", args, slow);
const ctr = (...args: string[]) => runCommand("ctr", ["-a", containerd.socket, "-n", "every", ...args], slow);

async function imagesOf(host: string): Promise<string[]> {
  const list = async (path: string): Promise<Record<string, string[] | null>> => {
    const reply = await fetch(`http://${host}/v2/${path}`);
    return (await reply.json()) as Record<string, string[] | null>; // distribution spec: names or tags
  };
  const { repositories } = await list("_catalog?n=1000");
  const found = await Promise.all(
    (repositories ?? []).map(async (name) =>
      ((await list(`${name}/tags/list`)).tags ?? []).map((tag) => `${host}/${name}:${tag}`),
    ),
  );
  return found.flat().toSorted();
}

/** What differs, by whom; nothing when all is as it should be. */
async function check(
  name: string,
): Promise<{ readonly layers: number; readonly files: number; readonly differs: string[] }> {
  await using fresh = tempRoot();
  await using images = await Images.open({ layout: fresh.layout, log: silentLogger });
  const work = join(fresh.path, "work");
  mkdirSync(work);
  const differs: string[] = [];
  const same = (what: string, found: string, expected: string): void => {
    if (found !== expected) differs.push(`${what}: ${found} instead of ${expected}`);
  };
  const raw = async (place: string): Promise<string> =>
    digestOf(
      (await skopeo("inspect", "--raw", ...(place.startsWith("docker:") ? ["--tls-verify=false"] : []), place)).stdout,
    );
  const digest = await raw(`docker://${name}`);
  const image = await images.pull(name);
  same("pulled", image.manifest.digest, digest);

  // Tripod's writing, read by others.
  const copy = `${own.host}/${name.slice(name.indexOf("/") + 1)}`;
  await images.push(name, { target: copy });
  same("pushed", await raw(`docker://${copy}`), digest);
  await images.exportArchive(name, join(work, "archive.tar"));
  same("archive", await raw(`oci-archive:${join(work, "archive.tar")}`), digest);
  await images.exportArchive(name, `${join(work, "layout")}/`);
  const tag = name.slice(name.lastIndexOf(":") + 1);
  same("layout", await raw(`oci:${join(work, "layout")}:${tag}`), digest);
  await runCommand("umoci", ["unpack", "--image", `${join(work, "layout")}:${tag}`, join(work, "umoci")], slow);

  // Others' writing, read by Tripod.
  await skopeo("copy", "--src-tls-verify=false", `docker://${name}`, `oci-archive:${join(work, "skopeo.tar")}:${tag}`);
  await ctr("images", "pull", "--plain-http", name);
  await ctr("images", "export", join(work, "ctr.tar"), name);
  for (const peer of ["skopeo", "ctr"]) {
    await using other = tempRoot();
    await using store = await Images.open({ layout: other.layout, log: silentLogger });
    const [found] = await store.importArchive(join(work, `${peer}.tar`));
    same(`${peer}'s archive`, found?.manifest.digest ?? "nothing", digest);
  }

  const { rootfs } = await images.prepareRootfs("c", image.id);
  for (const line of await compareTrees(join(work, "umoci/rootfs"), rootfs, { limit: 100 }))
    differs.push(`umoci's tree: ${line}`);
  mkdirSync(join(work, "ctr"));
  await ctr("images", "mount", name, join(work, "ctr"));
  const theirs = await compareTrees(join(work, "ctr"), rootfs, { limit: 1000 });
  unmount(join(work, "ctr"), { detach: true });
  for (const line of theirs.slice(0, 3)) differs.push(`containerd's tree (${theirs.length}): ${line}`);
  const { files } = await images.verify({ deep: true });
  await images.removeRootfs("c");
  rmSync(work, { recursive: true });
  return { layers: image.layers.length, files, differs };
}

const names = values.registry === undefined ? [] : await imagesOf(values.registry);
if (values.debian) {
  const { one, ten } = await benchLayers(join(import.meta.dirname, "../../.cache/bench"));
  names.push(await pushLayers(own.host, "debian-one", one), await pushLayers(own.host, "debian-ten", ten));
}
let wrong = 0;
for (const name of names) {
  const { layers, files, differs } = await check(name);
  wrong += differs.length;
  process.stdout.write(
    `${name.slice(name.indexOf("/") + 1)}: ${layers} layers, ${files} files, ${differs.length === 0 ? "all the same" : "differs:"}\n`,
  );
  for (const line of differs) process.stdout.write(`    ${line}\n`);
}
process.stdout.write(`${names.length} images, ${wrong} differences\n`);
