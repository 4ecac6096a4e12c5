import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { isTripodError } from "@tripod/base";
import { checkRequest } from "./check-request.ts";

const capability = { accessType: { case: "mount", value: { fsType: "", mountFlags: [] } }, accessMode: { mode: 1 } };

describe("checkRequest", () => {
  const bad: { why: string; method: string; request: object; field: string }[] = [
    { why: "no name", method: "createVolume", request: { name: "", volumeCapabilities: [capability] }, field: "name" },
    {
      why: "no capabilities",
      method: "createVolume",
      request: { name: "v", volumeCapabilities: [] },
      field: "volume_capabilities",
    },
    {
      why: "a long name",
      method: "createVolume",
      request: { name: "é".repeat(65), volumeCapabilities: [capability] },
      field: "name",
    },
    {
      why: "a capability without a mode",
      method: "createVolume",
      request: { name: "v", volumeCapabilities: [capability, { ...capability, accessMode: { mode: 0 } }] },
      field: "volume_capabilities[1]",
    },
    {
      why: "an empty range",
      method: "controllerExpandVolume",
      request: { volumeId: "v", capacityRange: { requiredBytes: 0n, limitBytes: 0n } },
      field: "capacity_range",
    },
    {
      why: "parameters beyond 4 KiB",
      method: "createVolume",
      request: { name: "v", volumeCapabilities: [capability], parameters: { k: "x".repeat(4096) } },
      field: "parameters",
    },
    {
      why: "a long node id",
      method: "controllerPublishVolume",
      request: { volumeId: "v", nodeId: "n".repeat(257), volumeCapability: capability },
      field: "node_id",
    },
    {
      why: "no node id",
      method: "controllerPublishVolume",
      request: { volumeId: "v", nodeId: "", volumeCapability: capability },
      field: "node_id",
    },
    ...["relative", "/a/../b", "/", "/a\0b", `/${"a".repeat(4096)}`].map((targetPath) => ({
      why: `the target path ${JSON.stringify(targetPath.slice(0, 10))}`,
      method: "nodePublishVolume",
      request: { volumeId: "v", targetPath, volumeCapability: capability },
      field: "target_path",
    })),
    {
      why: "no staging path",
      method: "nodeStageVolume",
      request: { volumeId: "v", stagingTargetPath: "", volumeCapability: capability },
      field: "staging_target_path",
    },
    {
      why: "a negative page",
      method: "listVolumes",
      request: { maxEntries: -1, startingToken: "" },
      field: "max_entries",
    },
  ];
  for (const { why, method, request, field } of bad) {
    test(`${method} with ${why} is refused and ${field} is named`, () => {
      assert.throws(
        () => checkRequest(method, request),
        (error) => isTripodError(error, "invalid") && error.detail.field === field,
      );
    });
  }

  test("good requests pass", () => {
    checkRequest("createVolume", { name: "v".repeat(128), volumeCapabilities: [capability], parameters: {} });
    checkRequest("nodePublishVolume", { volumeId: "v", targetPath: "/a/b..c", volumeCapability: capability });
    checkRequest("getCapacity", {});
    checkRequest("listVolumes", { maxEntries: 0, startingToken: "" });
  });
});
