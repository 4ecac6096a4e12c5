// A CSI driver as a third party would write it, with our SDK: volumes are folders. A process of its own, which ends on SIGTERM.
//   folder-driver.ts ENDPOINT PLUGINS_REGISTRY_DIR DATA_DIR NODE_NAME
import { mkdirSync, rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { silentLogger, TripodError } from "@tripod/base";
import { defineDriver, serveDriver } from "@tripod/csi";
import { bindMount, isMountPoint, unmount } from "@tripod/linux";

const [endpoint, registrationDir, dataDir, nodeId] = process.argv.slice(2);
if (endpoint === undefined || registrationDir === undefined || dataDir === undefined || nodeId === undefined)
  throw new TripodError("invalid", "usage: folder-driver.ts ENDPOINT PLUGINS_REGISTRY_DIR DATA_DIR NODE_NAME");

const driver = defineDriver({
  name: "folders.example.com",
  version: "3.1.4",
  controller: {
    createVolume: async ({ name, capacityRange }) => {
      mkdirSync(join(dataDir, name), { recursive: true });
      return { volume: { volumeId: name, capacityBytes: capacityRange?.requiredBytes ?? 0n } };
    },
    deleteVolume: async ({ volumeId }) => {
      rmSync(join(dataDir, volumeId), { recursive: true, force: true });
      return {};
    },
    validateVolumeCapabilities: async ({ volumeCapabilities }) => ({ confirmed: { volumeCapabilities } }),
  },
  node: {
    nodeGetInfo: async () => ({ nodeId }),
    nodePublishVolume: async ({ volumeId, targetPath, readonly }) => {
      mkdirSync(targetPath, { recursive: true });
      if (!isMountPoint(targetPath)) bindMount(join(dataDir, volumeId), targetPath, { readOnly: readonly });
      return {};
    },
    nodeUnpublishVolume: async ({ targetPath }) => {
      if (isMountPoint(targetPath)) unmount(targetPath, { detach: true });
      rmdirSync(targetPath);
      return {};
    },
  },
});
await using _served = await serveDriver({ endpoint, driver, registrationDir, log: silentLogger });
process.stdout.write("ready\n");
await new Promise((resolve) => process.once("SIGTERM", resolve));
