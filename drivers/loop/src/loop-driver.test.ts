import { describe } from "node:test";
import { mkdirSync, writeFileSync, truncateSync } from "node:fs";
import { runCommand } from "@tripod/base";
import { serveDriver } from "@tripod/csi";
import { testDriver } from "@tripod/csi/testing";
import { hasCapability, isRoot, mount, unmount, withLoop } from "@tripod/linux";
import { TemporaryFolder } from "@tripod/linux/testing";
import { interop } from "@tripod/testing";
import { openLoopDriver } from "./loop-driver.ts";

const mebibyte = 1024n * 1024n;

/** A folder on a file system of its own that can share blocks between files. */
async function sharingDisk(stack: AsyncDisposableStack): Promise<string> {
  const folder = stack.use(new TemporaryFolder("loop-disk"));
  const [image, path] = [folder.join("disk"), folder.join("mounted")];
  writeFileSync(image, "");
  truncateSync(image, Number(8192n * mebibyte));
  await runCommand("mkfs.xfs", ["-q", image]);
  mkdirSync(path);
  withLoop(image, (source) => mount({ source, target: path, type: "xfs" }));
  stack.defer(() => void unmount(path));
  return path;
}

const fileSystems = [
  // Without this capability the kernel grows no ext4 that is mounted.
  { fsType: "ext4", sizeBytes: 16n * mebibyte, growsInUse: hasCapability("CAP_SYS_RESOURCE") },
  { fsType: "xfs", sizeBytes: 320n * mebibyte, growsInUse: true },
  { fsType: "btrfs", sizeBytes: 256n * mebibyte, growsInUse: true },
];

for (const shares of [false, true])
  for (const { fsType, sizeBytes, growsInUse } of fileSystems) {
    const callee = `Tripod's loop driver, ${fsType}${shares ? " on a disk that shares blocks" : ""}`;
    describe(interop({ interface: "CSI", caller: "Tripod's conformance suite", callee }), {
      skip: isRoot() ? false : "mounting needs root",
    }, () => {
      const stack = new AsyncDisposableStack();
      testDriver(`loop, ${fsType}`, {
        start: async () => {
          const folder = stack.use(new TemporaryFolder("loop"));
          const disk = shares ? await sharingDisk(stack) : folder.path;
          const opened = stack.use(await openLoopDriver({ stateDir: `${disk}/state`, nodeId: "node-a" }));
          const endpoint = folder.join("csi.sock");
          stack.use(await serveDriver({ endpoint, driver: opened.driver }));
          const mutableParameters = { readAheadKb: "256", directIo: "true" };
          return {
            endpoint,
            sizeBytes,
            fsType,
            growsInUse,
            block: true,
            mutableParameters,
            mountFlags: ["noatime", "noexec"],
          };
        },
        stop: () => stack.disposeAsync(),
      });
    });
  }
