import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { describe, test } from "node:test";
import { runCommand, silentLogger } from "@tripod/base";
import { serveDriver } from "@tripod/csi";
import { openHostpathDriver } from "@tripod/driver-hostpath";
import { interop, tempRoot } from "@tripod/testing";

const version = "v5.6.0";

/** Upstream's csi-sanity: the one on PATH, else built from Go's module cache, without the network. */
function findSanity(gobin: string): string | undefined {
  if (spawnSync("csi-sanity", ["--help"]).error === undefined) return "csi-sanity";
  const cache = spawnSync("go", ["env", "GOMODCACHE"], { encoding: "utf8" });
  if (cache.status !== 0) return undefined;
  // The cache is laid out as a proxy is; what is in it was checked against the checksum database when it came.
  const env = { ...process.env, GOBIN: gobin, GOPROXY: `file://${cache.stdout.trim()}/cache/download`, GOSUMDB: "off" };
  const module = `github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity@${version}`;
  const built = spawnSync("go", ["install", module], { env });
  return built.status === 0 ? join(gobin, "csi-sanity") : undefined;
}

await using root = tempRoot();
const sanity = findSanity(root.path);
const skip =
  sanity === undefined &&
  `csi-sanity is neither on PATH nor in Go's module cache: go install github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity@${version}`;

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
        sanity ?? "",
        [`--csi.endpoint=${at("csi.sock")}`, ...folders, "--ginkgo.no-color"],
        { okExitCodes: "any", timeoutMs: 120_000 },
      );
      const report = stdout.toString();
      assert.equal(exitCode, 0, report);
      assert.match(report, /SUCCESS! -- [1-9]\d* Passed \| 0 Failed/);
    });
});
