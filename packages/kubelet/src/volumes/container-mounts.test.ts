import assert from "node:assert/strict";
import { test } from "node:test";
import type { Container } from "@tripod/api/kubernetes";
import { containerDevices, containerMounts, type ContainerMountsInput } from "./container-mounts.ts";
import type { MountedVolume } from "./mounted-volume.ts";
import { podPaths } from "./pod-paths.ts";

const input = (container: Partial<Container>): ContainerMountsInput => ({
  container: { name: "c", terminationMessagePath: "", ...container },
  volumes: new Map<string, MountedVolume>([
    ["disk", { kind: "device", devicePath: "/dev/loop0", readOnly: false }],
    ["files", { kind: "folder", hostPath: "/files", readOnly: false }],
  ]),
  environment: new Map(),
  paths: podPaths("/kubelet", "uid"),
  hostsFile: undefined,
});

test("a block volume under volumeMounts is refused with where it belongs", () =>
  assert.rejects(
    containerMounts(input({ volumeMounts: [{ name: "disk", mountPath: "/disk" }] })),
    /^StartError: volume disk has volumeMode Block, but is specified in volumeMounts; name it in volumeDevices$/,
  ));

test("a volume of files under volumeDevices is refused with where it belongs", () =>
  assert.throws(
    () => containerDevices(input({ volumeDevices: [{ name: "files", devicePath: "/dev/files" }] })),
    /^StartError: volume files has volumeMode Filesystem, but is specified in volumeDevices; name it in volumeMounts$/,
  ));
