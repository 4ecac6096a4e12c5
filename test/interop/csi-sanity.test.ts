import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { describe, test } from "node:test";
import { runCommand, silentLogger } from "@tripod/base";
import { serveDriver } from "@tripod/csi";
import { openHostpathDriver } from "@tripod/driver-hostpath";
import { interop, tempRoot } from "@tripod/testing";

const version = "v5.6.0";

const isThere = spawnSync("csi-sanity", ["--help"]).error === undefined;
const skip =
  !isThere && `csi-sanity is not on PATH: go install github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity@${version}`;

await describe(interop({
  interface: "CSI",
  caller: `csi-sanity ${version.slice(1)}`,
  callee: "Tripod's hostpath driver",
}), { skip }, () => {
  for (const attach of [false, true])
    test(`every spec for what the driver can do passes${attach ? ", with --attach" : ""}`, async () => {
      await using folder = tempRoot();
      const at = (name: string): string => join(folder.path, name);
      using opened = await openHostpathDriver({ stateDir: at("state"), nodeId: "node-a", attach });
      await using _served = await serveDriver({
        endpoint: at("csi.sock"),
        driver: opened.driver,
        log: silentLogger,
      });
      const folders = [`--csi.mountdir=${at("mount")}`, `--csi.stagingdir=${at("staging")}`];
      const { exitCode, stdout } = await runCommand(
        "csi-sanity",
        [`--csi.endpoint=${at("csi.sock")}`, ...folders, "--ginkgo.no-color"],
        { okExitCodes: "any", timeoutMs: 120_000 },
      );
      const report = stdout.toString();
      assert.equal(exitCode, 0, report);
      assert.match(report, /SUCCESS! -- [1-9]\d* Passed \| 0 Failed/);
    });
});
