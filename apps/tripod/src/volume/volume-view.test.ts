import assert from "node:assert/strict";
import { test } from "node:test";
import type { PersistentVolume, PersistentVolumeClaim, Pod, Stored } from "@tripod/api/kubernetes";
import type { MountInfo } from "@tripod/linux";
import { type VolumeFacts, volumeText, volumeView } from "./volume-view.ts";

const stored = (name: string) => ({
  name,
  namespace: "default",
  uid: `uid-${name}`,
  resourceVersion: "1",
  creationTimestamp: "2026-01-01T00:00:00Z",
});
const claim = (name: string): Stored<PersistentVolumeClaim> => ({
  metadata: stored(name),
  spec: { volumeName: `pv-${name}` },
  status: { phase: "Bound" },
});
const volume = (name: string): Stored<PersistentVolume> => ({
  metadata: stored(`pv-${name}`),
  spec: { csi: { driver: "d", volumeHandle: name }, claimRef: { namespace: "default", name } },
  status: { phase: "Bound" },
});
const pod = (name: string, claims: string[], phase: "Running" | "Pending" = "Running"): Stored<Pod> => ({
  metadata: stored(name),
  spec: {
    containers: [],
    nodeName: "n1",
    volumes: claims.map((claimName) => ({ name: claimName, persistentVolumeClaim: { claimName } })),
  },
  status: { phase },
});
const mount = (mountPoint: string, options = ["rw"]): MountInfo => ({
  id: 1,
  parentId: 0,
  device: "0:1",
  root: "/",
  mountPoint,
  options,
  propagation: [],
  type: "ext4",
  source: "/dev/loop0",
  superOptions: [],
});
const podDir = (name: string, pv: string): string => `/k/pods/uid-${name}/volumes/kubernetes.io~csi/${pv}/mount`;
const show = (parts: Partial<VolumeFacts>): string =>
  volumeText(
    volumeView({
      claims: [],
      volumes: [],
      attachments: [],
      pods: [],
      events: [],
      mounts: [],
      loops: [],
      kubeletDir: "/k",
      ...parts,
    }),
  );

test("a mount is told at the volume whose it is, also where another's name begins with it", () => {
  const text = show({
    claims: [claim("1"), claim("10")],
    volumes: [volume("1"), volume("10")],
    pods: [pod("web", ["1", "10"])],
    mounts: [mount(podDir("web", "pv-10")), mount(podDir("web", "pv-1"), ["ro"])],
  });
  assert.match(text, /PV {2}pv-1 .*\n {4}Pod .*\/pv-1\/mount, read-only\nPVC/);
  assert.match(text, /PV {2}pv-10 .*\n {4}Pod .*\/pv-10\/mount$/);
});

test("a block device is told where it is published", () => {
  const device = "/k/plugins/kubernetes.io/csi/volumeDevices/publish/pv-1/uid-web";
  const text = show({
    claims: [claim("1")],
    volumes: [volume("1")],
    pods: [pod("web", ["1"])],
    mounts: [mount(device)],
  });
  assert.match(text, /Pod {2}default\/web {2}Running {2}on n1 {2}device at \/k\/plugins\/.*\/pv-1\/uid-web$/);
});

test("a Pod whose volume its node has not mounted waits for that, one of another node for its containers", () => {
  const facts = { claims: [claim("1")], volumes: [volume("1")], pods: [pod("web", ["1"], "Pending")] };
  assert.match(show(facts), /← waits: its containers to be started$/);
  assert.match(show({ ...facts, mounts: [mount(podDir("web", "token"))] }), /← waits: its volume to be mounted$/);
});

test("a claim that a Pod names and nobody has made is shown as missing", () => {
  assert.equal(
    show({ pods: [pod("web", ["data"], "Pending")] }),
    "PVC  default/data  Missing  ← waits: somebody to create it\n  Pod  default/web  Pending  on n1  ← waits: its claim to be bound",
  );
});

test("a volume whose claim is gone says whose it was", () => {
  const kept = { ...volume("1"), status: { phase: "Released" as const } };
  assert.match(show({ volumes: [kept] }), /^PV {2}pv-1 {2}Released {2}d {2}1 {2}for default\/1 {2}← waits: somebody/);
});
