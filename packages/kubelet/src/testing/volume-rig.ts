import { join } from "node:path";
import type { PersistentVolume, PersistentVolumeClaim, Pod } from "@tripod/api/kubernetes";
import { type Layout, type Logger, silentLogger } from "@tripod/base";
import { EventRecorder, events, KubeClient } from "@tripod/kube";
import { mountInfo } from "@tripod/linux";
import { tempRoot } from "@tripod/testing";
import { type ClusterObjects, clusterObjects } from "../objects/cluster-objects.ts";
import { podEvents } from "../objects/event-writer.ts";
import { CsiDrivers } from "../volumes/csi-drivers.ts";
import { VolumeManager, type VolumeManagerOptions } from "../volumes/volume-manager.ts";
import { bindDriverName } from "./bind-driver.ts";
import { MemoryApi } from "./memory-api.ts";

export const rigNodeName = "node-1";

/** The volumes of a kubelet without its containers: a VolumeManager, an API server in memory, drivers on real sockets. */
export interface VolumeRig extends AsyncDisposable {
  readonly layout: Layout;
  readonly kubeconfig: string;
  readonly api: MemoryApi;
  readonly objects: ClusterObjects;
  readonly drivers: CsiDrivers;
  volumes: VolumeManager;
  /** What the node's status would say. */
  inUse: readonly string[];
  /** A VolumeManager that knows nothing, on the same disk. */
  restart(options?: Partial<VolumeManagerOptions>): Promise<void>;
  /** A bound claim and its volume of the bind driver, "1Gi" large. */
  createClaim(name: string, pv?: Partial<NonNullable<PersistentVolume["spec"]>>): void;
  /** A Pod that uses claims, by the names of its volumes; with `block` as devices. */
  createPod(name: string, claims: Readonly<Record<string, string>>, spec?: Partial<NonNullable<Pod["spec"]>>): Pod;
  setUp(pod: Pod, signal?: AbortSignal): ReturnType<VolumeManager["setUp"]>;
  tearDown(pod: Pod): Promise<void>;
  claim(name: string): PersistentVolumeClaim;
  /** Sets the size of the claim's volume, as a resizer does when its part is done. */
  grow(name: string, size: string, status?: PersistentVolumeClaim["status"]): void;
  /** "Reason: message" of the Events about an object. */
  events(name: string): string[];
  told(name: string, text: string): Promise<void>;
  /** What is mounted below the kubelet's folder. */
  mounts(): string[];
}

const facts = { podIps: [], hostIps: [], allocatable: {} };

export async function startVolumeRig(
  options: Partial<VolumeManagerOptions> = {},
  log: Logger = silentLogger,
): Promise<VolumeRig> {
  await using undo = new AsyncDisposableStack();
  const { path, layout } = undo.use(tempRoot());
  const kubeconfig = join(path, "kubeconfig");
  const api = undo.use(await MemoryApi.start(kubeconfig));
  const client = undo.use(KubeClient.fromKubeconfig(kubeconfig));
  const recorder = undo.use(
    new EventRecorder({ events: client.resource(events), component: "kubelet", host: rigNodeName, log }),
  );
  const objects = undo.use(clusterObjects(client, log));
  const drivers = undo.use(new CsiDrivers());
  const make = (more: Partial<VolumeManagerOptions>): VolumeManager =>
    new VolumeManager({
      kubeletDir: layout.kubeletDir,
      flexDriversDir: layout.flexDriversDir,
      nodeName: rigNodeName,
      drivers,
      objects,
      events: podEvents(recorder, rigNodeName),
      publishInUse: async (names) => {
        rig.inUse = names;
      },
      log,
      ...options,
      ...more,
    });
  const held = undo.move();
  const rig: VolumeRig = {
    layout,
    kubeconfig,
    api,
    objects,
    drivers,
    volumes: make({}),
    inUse: [],
    async restart(more = {}) {
      rig.volumes = make(more);
      await rig.volumes.recover();
      rig.inUse = rig.volumes.volumesInUse();
    },
    createClaim(name, pv = {}) {
      api.create<PersistentVolumeClaim>("persistentvolumeclaims", {
        metadata: { name, namespace: "default", uid: `uid-${name}` },
        spec: { volumeName: `pv-${name}`, accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
        status: { phase: "Bound", capacity: { storage: "1Gi" } },
      });
      api.create<PersistentVolume>("persistentvolumes", {
        metadata: { name: `pv-${name}` },
        spec: {
          accessModes: ["ReadWriteOnce"],
          capacity: { storage: "1Gi" },
          claimRef: { name, namespace: "default", uid: `uid-${name}` },
          csi: { driver: bindDriverName, volumeHandle: `handle-${name}` },
          ...pv,
        },
      });
    },
    createPod(name, claims, spec = {}) {
      const names = Object.entries(claims);
      const block = names.flatMap(([volume, claim]) => {
        const pv = api.get<PersistentVolume>("persistentvolumes", `pv-${claim}`);
        return pv?.spec?.volumeMode === "Block" ? [volume] : [];
      });
      const mounted = [...names.map(([volume]) => volume), ...(spec.volumes ?? []).map((volume) => volume.name)];
      return api.create<Pod>("pods", {
        metadata: { name, namespace: "default" },
        spec: {
          nodeName: rigNodeName,
          containers: [
            {
              name: "c",
              volumeMounts: mounted
                .filter((each) => !block.includes(each))
                .map((each) => ({ name: each, mountPath: `/${each}` })),
              volumeDevices: block.map((each) => ({ name: each, devicePath: `/dev/${each}` })),
            },
          ],
          ...spec,
          volumes: [
            ...names.map(([volume, claimName]) => ({ name: volume, persistentVolumeClaim: { claimName } })),
            ...(spec.volumes ?? []),
          ],
        },
      });
    },
    setUp: (pod, signal = AbortSignal.timeout(20_000)) => rig.volumes.setUp(pod, facts, signal),
    tearDown: (pod) => rig.volumes.tearDown(pod.metadata?.uid ?? "", AbortSignal.timeout(20_000)),
    claim: (name) => api.get("persistentvolumeclaims", `default/${name}`) ?? { metadata: {}, spec: {} },
    grow(name, size, status = {}) {
      api.update("persistentvolumes", `pv-${name}`, (pv) => ({
        ...pv,
        spec: { ...pv.spec, capacity: { storage: size } },
      }));
      api.update("persistentvolumeclaims", `default/${name}`, (claim) => ({
        ...claim,
        spec: { ...claim.spec, resources: { requests: { storage: size } } },
        status: {
          ...claim.status,
          allocatedResources: { storage: size },
          allocatedResourceStatuses: { storage: "NodeResizePending" },
          conditions: [{ type: "FileSystemResizePending", status: "True" }],
          ...status,
        },
      }));
    },
    events: (name) =>
      api
        .list<{ involvedObject: { name: string }; reason: string; message: string }>("events")
        .filter(({ involvedObject }) => involvedObject.name === name)
        .map(({ reason, message }) => `${reason}: ${message}`),
    told: (name, text) => api.changed("events", () => rig.events(name).some((each) => each.includes(text))),
    mounts: () =>
      mountInfo()
        .map(({ mountPoint }) => mountPoint)
        .filter((each) => each.startsWith(layout.kubeletDir)),
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
  return rig;
}
