import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { ImageService } from "@tripod/api/cri";
import { Limiter, runCommand } from "@tripod/base";
import { GrpcChannel } from "@tripod/grpc";
import { isMountPoint, unmount } from "@tripod/linux";
import { type CriProcess, startContainerd } from "@tripod/testing";
import { startTripod } from "./cri-peers.ts";
import type { BenchPlace } from "./isolated.ts";

/** Something that pulls and unpacks images, with a store of its own that was empty when it started and goes away with it. */
export interface PullPeer extends AsyncDisposable {
  pull(image: string): Promise<void>;
}

type StartPeer = (place: BenchPlace, profileDir?: string) => Promise<PullPeer>;

const slow = { timeoutMs: 600_000 };
const tripod = join(import.meta.dirname, "../tripod");

/** Stops a daemon and removes its folder, with the file systems in memory that its state was on. */
async function discard(daemon: AsyncDisposable, dir: string): Promise<void> {
  await daemon[Symbol.asyncDispose]();
  for (const mounted of ["run", "state"].map((name) => join(dir, name))) if (isMountPoint(mounted)) unmount(mounted);
  rmSync(dir, { recursive: true, force: true });
}

/** By CRI's PullImage. */
function criPeer(daemon: CriProcess, dir: string): PullPeer {
  const channel = new GrpcChannel({ socket: daemon.socket, traced: () => false });
  const images = channel.client(ImageService);
  return {
    pull: async (image) => void (await images.pullImage({ image: { image } }, slow)),
    async [Symbol.asyncDispose]() {
      channel[Symbol.dispose]();
      await discard(daemon, dir);
    },
  };
}

async function startDebianContainerd(place: BenchPlace): Promise<{ daemon: CriProcess; dir: string }> {
  const dir = join(place.folder, "containerd");
  const cniConfDir = join(dir, "net.d");
  mkdirSync(cniConfDir, { recursive: true });
  return { daemon: await startContainerd({ dir, sandboxImage: "none", cniConfDir }), dir };
}

export const pullPeers = {
  /** `tripod cri` */
  tripod: async (place, profileDir) =>
    criPeer(await startTripod(place, profileDir === undefined ? {} : { profileDir }), place.root),
  /** The command, without a daemon: its start is part of each pull. */
  "tripod image": async ({ root }) => ({
    pull: async (image) => void (await runCommand(tripod, ["image", "pull", image, "--root", root], slow)),
    async [Symbol.asyncDispose]() {
      rmSync(root, { recursive: true, force: true });
    },
  }),
  containerd: async (place) => {
    const { daemon, dir } = await startDebianContainerd(place);
    return criPeer(daemon, dir);
  },
  ctr: async (place) => {
    const { daemon, dir } = await startDebianContainerd(place);
    const flags = ["-a", daemon.socket, "-n", "bench", "images", "pull", "--snapshotter", "overlayfs", "--plain-http"];
    return {
      pull: async (image) => void (await runCommand("ctr", [...flags, image], slow)),
      [Symbol.asyncDispose]: () => discard(daemon, dir),
    };
  },
  /** The blobs are shared between images, the bundles are whole. A layout knows no locks: one copy at a time. */
  "skopeo+umoci": async ({ folder }) => {
    const dir = join(folder, "umoci");
    mkdirSync(dir);
    const had = new Set<string>();
    const copies = new Limiter(1);
    return {
      async pull(image) {
        const name = image.replace(/^[^/]*\//, "").replaceAll(/[:/]/g, "-");
        const layout = `${join(dir, "layout")}:${name}`;
        const copy = ["copy", "--quiet", "--src-tls-verify=false", `docker://${image}`, `oci:${layout}`];
        await copies.run(() => runCommand("skopeo", copy, slow));
        if (!had.has(name)) await runCommand("umoci", ["unpack", "--image", layout, join(dir, name)], slow);
        had.add(name);
      },
      async [Symbol.asyncDispose]() {
        rmSync(dir, { recursive: true, force: true });
      },
    };
  },
} as const satisfies Record<string, StartPeer>;

export type PullPeerName = keyof typeof pullPeers;
