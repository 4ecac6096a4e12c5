import { mkdirSync, rmdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { failpoint, isNodeError, type Layout, silentLogger, TripodError } from "@tripod/base";
import { defineDriver, type DriverFeatures, type NodeMethods, type ServedDriver, serveDriver } from "@tripod/csi";
import { attachLoop, bindMount, detachLoop, isMountPoint, loopsOf, unmount } from "@tripod/linux";

export const bindDriverName = "bind.csi.test";

/** A CSI driver for tests: a volume is a folder, or a device node; staging and publishing are bind mounts. Failpoints: test.driver.CALL. */
export interface BindDriver extends AsyncDisposable {
  readonly endpoint: string;
  /** "stage HANDLE", "publish HANDLE", … in order. */
  readonly calls: string[];
  /** Called before a volume is staged. */
  onStage: () => void;
  /** The next publishes that fail. */
  failures: number;
  /** What the last publish was told. */
  readonly contexts: Record<string, string>[];
  /** What it was told in secret. */
  readonly secrets: Record<string, string>[];
}

function mountAt(source: string, target: string, readOnly: boolean): void {
  mkdirSync(target, { recursive: true });
  if (!isMountPoint(target)) bindMount(source, target, { readOnly });
}

/** A small file's device, shown at the target. */
function showDevice(image: string, target: string): void {
  writeFileSync(image, "", { flag: "a" });
  truncateSync(image, 1 << 20);
  const node = loopsOf(image)[0]?.path ?? attachLoop(image);
  if (isMountPoint(target)) return;
  writeFileSync(target, "");
  bindMount(node, target);
}

function unmountAt(target: string): void {
  unmount(target, { detach: true });
  try {
    rmdirSync(target);
  } catch (error) {
    if (isNodeError(error, "ENOTDIR")) rmSync(target);
    else if (!isNodeError(error, "ENOENT")) throw error;
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
  const state = {
    calls: [] as string[],
    contexts: [] as Record<string, string>[],
    secrets: [] as Record<string, string>[],
    failures: 0,
    onStage: (): void => {},
  };
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
      nodeStageVolume: async ({ volumeId, stagingTargetPath, volumeCapability }) => {
        state.calls.push(`stage ${volumeId}`);
        state.onStage();
        failpoint("test.driver.before-stage");
        if (volumeCapability?.accessType.case === "mount") mountAt(folderOf(volumeId), stagingTargetPath, false);
        failpoint("test.driver.staged");
        return {};
      },
      nodeUnstageVolume: async ({ volumeId, stagingTargetPath }) => {
        state.calls.push(`unstage ${volumeId}`);
        failpoint("test.driver.before-unstage");
        unmountAt(stagingTargetPath);
        for (const { path } of loopsOf(join(folderOf(volumeId), "device"))) detachLoop(path);
        failpoint("test.driver.unstaged");
        return {};
      },
      nodePublishVolume: async ({
        volumeId,
        stagingTargetPath,
        targetPath,
        readonly,
        volumeContext,
        volumeCapability,
        secrets,
      }) => {
        state.calls.push(`publish ${volumeId}`);
        if (state.failures > 0) {
          state.failures -= 1;
          throw new TripodError("internal", "the disk is on fire");
        }
        state.contexts.push(volumeContext);
        state.secrets.push(secrets);
        failpoint("test.driver.before-publish");
        if (volumeCapability?.accessType.case === "block") showDevice(join(folderOf(volumeId), "device"), targetPath);
        else mountAt(stagingTargetPath === "" ? folderOf(volumeId) : stagingTargetPath, targetPath, readonly);
        failpoint("test.driver.published");
        return {};
      },
      nodeUnpublishVolume: async ({ volumeId, targetPath }) => {
        state.calls.push(`unpublish ${volumeId}`);
        failpoint("test.driver.before-unpublish");
        unmountAt(targetPath);
        failpoint("test.driver.unpublished");
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
