import { mkdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { isNodeError, type Layout, silentLogger, TripodError } from "@tripod/base";
import { defineDriver, type DriverFeatures, type NodeMethods, type ServedDriver, serveDriver } from "@tripod/csi";
import { bindMount, isMountPoint, unmount } from "@tripod/linux";

export const bindDriverName = "bind.csi.test";

/** A CSI driver for tests: a volume is a folder; staging and publishing are bind mounts. */
export interface BindDriver extends AsyncDisposable {
  readonly endpoint: string;
  /** "stage HANDLE", "publish HANDLE", … in order. */
  readonly calls: string[];
  /** The next publishes that fail. */
  failures: number;
  /** What the last publish was told. */
  readonly contexts: Record<string, string>[];
}

function mountAt(source: string, target: string, readOnly: boolean): void {
  mkdirSync(target, { recursive: true });
  if (!isMountPoint(target)) bindMount(source, target, { readOnly });
}

function unmountAt(target: string): void {
  unmount(target, { detach: true });
  try {
    rmdirSync(target);
  } catch (error) {
    if (!isNodeError(error, "ENOENT")) throw error;
  }
}

export interface BindDriverOptions {
  /** Calls that are answered in another way. */
  readonly node?: Partial<NodeMethods>;
  readonly features?: DriverFeatures;
}

/** Starts the driver and offers it in the kubelet's plugin folder. */
export async function startBindDriver(layout: Layout, options: BindDriverOptions = {}): Promise<BindDriver> {
  const data = join(layout.root ?? "", "bind-driver");
  const folderOf = (id: string): string => {
    const folder = join(data, id);
    mkdirSync(folder, { recursive: true });
    return folder;
  };
  const state = { calls: [] as string[], contexts: [] as Record<string, string>[], failures: 0 };
  const driver = defineDriver({
    name: bindDriverName,
    version: "1",
    features: { topology: true, ...options.features },
    node: {
      nodeGetInfo: async () => ({
        nodeId: "node-id",
        maxVolumesPerNode: 7n,
        accessibleTopology: { segments: { "bind.csi.test/node": "here" } },
      }),
      nodeStageVolume: async ({ volumeId, stagingTargetPath }) => {
        state.calls.push(`stage ${volumeId}`);
        mountAt(folderOf(volumeId), stagingTargetPath, false);
        return {};
      },
      nodeUnstageVolume: async ({ volumeId, stagingTargetPath }) => {
        state.calls.push(`unstage ${volumeId}`);
        unmountAt(stagingTargetPath);
        return {};
      },
      nodePublishVolume: async ({ volumeId, stagingTargetPath, targetPath, readonly, volumeContext }) => {
        state.calls.push(`publish ${volumeId}`);
        if (state.failures > 0) {
          state.failures -= 1;
          throw new TripodError("internal", "the disk is on fire");
        }
        state.contexts.push(volumeContext);
        mountAt(stagingTargetPath === "" ? folderOf(volumeId) : stagingTargetPath, targetPath, readonly);
        return {};
      },
      nodeUnpublishVolume: async ({ volumeId, targetPath }) => {
        state.calls.push(`unpublish ${volumeId}`);
        unmountAt(targetPath);
        return {};
      },
      ...options.node,
    },
  });
  const served: ServedDriver = await serveDriver({
    endpoint: `unix://${join(layout.root ?? "", "bind.sock")}`,
    driver,
    registrationDir: layout.pluginsRegistryDir,
    log: silentLogger,
  });
  return Object.assign(state, {
    endpoint: served.socket,
    [Symbol.asyncDispose]: () => served[Symbol.asyncDispose](),
  });
}
