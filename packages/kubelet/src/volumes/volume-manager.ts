import { join } from "node:path";
import type { Pod, Volume } from "@tripod/api/kubernetes";
import { failpoint, KeyedMutex, type Logger, messageOf, TripodError } from "@tripod/base";
import { inlineCloudVolume, inlineDriverOf, standInMessage } from "@tripod/csi/migration";
import { withSpan } from "@tripod/trace";
import type { PodFacts } from "../containers/field-value.ts";
import { namespaceOf, uidOf } from "../pods/pod-facts.ts";
import { claimNameOf } from "./claim-name.ts";
import { claimedVolume, openPersistentVolume } from "./claim-volume.ts";
import type { CsiDrivers } from "./csi-drivers.ts";
import { stagedVolumes, unstageOrphans } from "./csi-orphans.ts";
import { csiPlugin } from "./csi-paths.ts";
import { inlineCsiVolume, persistentCsiVolume } from "./csi-spec.ts";
import { tearDownBlockVolumes, tearDownCsiVolume } from "./csi-tear-down.ts";
import type { CsiContext, CsiPublication } from "./csi-publication.ts";
import { CsiVolumes } from "./csi-volumes.ts";
import { prepareEmptyDir } from "./empty-dir.ts";
import { entriesOf } from "./folder-entries.ts";
import { inlineFlexVolume, persistentFlexVolume } from "./flex/flex-spec.ts";
import { FlexVolumes } from "./flex/flex-volumes.ts";
import { setFsGroup } from "./fs-group.ts";
import { prepareHostPath } from "./host-path.ts";
import type { MountedVolume } from "./mounted-volume.ts";
import { payloadKindOf, writePayloadVolume } from "./payload-volumes.ts";
import { type PodPaths, podPaths, podsDirOf } from "./pod-paths.ts";
import { removeSubPaths } from "./sub-path.ts";
import { blockUsers, publishedFolders } from "./csi-users.ts";
import { detachAt, removeMountFolder, removeTree } from "./remove-tree.ts";
import type { VolData } from "./vol-data.ts";
import { closeLocalDevices, localPlugin } from "./local-block.ts";
import { closeNfsVolume, nfsPlugin, openNfsVolume } from "./nfs-volume.ts";
import { unknownKind } from "./unknown-kind.ts";
import { mountsClaimReadOnly, usedVolumes } from "./used-volumes.ts";
import type { VolumeEvents } from "./volume-events.ts";
import type { VolumeObjects } from "./volume-objects.ts";
import { VolumesInUse } from "./volumes-in-use.ts";

const emptyDirPlugin = "kubernetes.io~empty-dir";

export interface VolumeManagerOptions {
  /** The folder of FlexVolume drivers. */
  readonly flexDriversDir: string;
  readonly kubeletDir: string;
  readonly nodeName: string;
  readonly drivers: CsiDrivers;
  readonly objects: VolumeObjects;
  /** Writes the attachable volumes in use into the node's status; resolves once the API server has them. */
  readonly publishInUse: (names: readonly string[]) => Promise<void>;
  readonly events: VolumeEvents;
  /** Told when an attacher says that this node takes no more volumes of a driver. */
  readonly limitReached?: (driver: string, signal: AbortSignal) => Promise<void>;
  /** Driver by the cloud's driver that it stands in for where that is not registered. */
  readonly standIns?: Readonly<Record<string, string>>;
  /** How long a driver has for one call; two minutes unless told, as upstream gives it. */
  readonly callTimeoutMs?: number;
  /** How often drivers that want it are asked to publish again; every minute unless told. */
  readonly republishMs?: number;
  readonly log: Logger;
}

/** A volume of a Pod could not be made ready. */
export class VolumeError extends TripodError {
  readonly volume: string;

  constructor(volume: string, cause: unknown) {
    super(
      "failed-precondition",
      `MountVolume.SetUp failed for volume ${JSON.stringify(volume)} : ${messageOf(cause)}`,
      {
        cause,
      },
    );
    this.name = "VolumeError";
    this.volume = volume;
  }
}

/**
 * Makes the volumes of Pods ready and takes them away again. The disk is the record: a tear-down works from the Pod's folder alone, after
 * a restart too.
 */
export class VolumeManager {
  readonly #options: VolumeManagerOptions;
  readonly #inUse: VolumesInUse;
  readonly #csiContext: CsiContext;
  readonly #csi: CsiVolumes;
  readonly #flex: FlexVolumes;
  /** Where volumes were staged when this process began: each counts as in use until it is known whose it is. */
  readonly #foundStaged = new Set<string>();
  /** What this process has made ready, by Pod and volume; after a restart everything is made ready again. */
  readonly #mounted = new Map<string, Map<string, MountedVolume>>();

  constructor(options: VolumeManagerOptions) {
    this.#options = options;
    this.#inUse = new VolumesInUse(options.publishInUse);
    this.#flex = new FlexVolumes({ ...options, secret: (namespace, name) => options.objects.secret(namespace, name) });
    this.#csiContext = { callTimeoutMs: 120_000, limitReached: async () => {}, ...options, locks: new KeyedMutex() };
    this.#csi = new CsiVolumes(this.#csiContext, { inUse: this.#inUse, republishMs: options.republishMs ?? 60_000 });
  }

  /** The attachable volumes in use, in the form of a node's status. */
  volumesInUse(): string[] {
    return this.#inUse.names();
  }

  /** The CSI volumes that stand ready for Pods. */
  publications(): readonly CsiPublication[] {
    return this.#csi.list();
  }

  /** When the Pod's volumes want to be looked at again though nothing happens, in Unix ms. */
  lookAgainAtMs(uid: string): number | undefined {
    return this.#csi.lookAgainAtMs(uid);
  }

  /** The Pods that have something on this node's disk. */
  async podsOnDisk(): Promise<string[]> {
    const { kubeletDir } = this.#options;
    const users = [...(await blockUsers(kubeletDir)).values()].flatMap((uids) => [...uids]);
    return [...new Set([...(await entriesOf(podsDirOf(kubeletDir))), ...users])];
  }

  /** Finds the attached volumes that are published or staged on this node, before the node's status is first written. */
  async recover(): Promise<void> {
    const { kubeletDir } = this.#options;
    const note = (user: string, data: VolData | undefined): void => {
      if (data?.volumeLifecycleMode === "Persistent") this.#inUse.recovered(user, data.driverName, data.volumeHandle);
    };
    for (const { podUid, data } of await publishedFolders(kubeletDir)) note(podUid, data);
    const users = await blockUsers(kubeletDir);
    for (const volume of await stagedVolumes(kubeletDir)) {
      if (volume.kind === "block") for (const uid of users.get(volume.specName) ?? []) note(uid, volume.data);
      note(volume.path, volume.data);
      this.#foundStaged.add(volume.path);
    }
  }

  /** Unstages what no Pod uses; to be called when the Pods of this node are known. What is left, by path, says why. */
  async unstageOrphans(signal: AbortSignal): Promise<ReadonlyMap<string, string>> {
    const left = await unstageOrphans(this.#csiContext, signal);
    for (const path of this.#foundStaged) if (!left.has(path)) await this.#inUse.remove(path);
    return left;
  }

  /**
   * Makes every volume of the Pod ready, and brings those up to date that are written from the API. Repeatable. Fails with an
   * AggregateError of VolumeErrors after every volume was tried.
   */
  async setUp(pod: Pod, facts: PodFacts, signal: AbortSignal): Promise<ReadonlyMap<string, MountedVolume>> {
    const uid = uidOf(pod);
    const mounted = this.#mounted.get(uid) ?? new Map<string, MountedVolume>();
    this.#mounted.set(uid, mounted);
    const results = await Promise.allSettled(
      usedVolumes(pod).map(async (volume) => {
        const known = mounted.get(volume.name);
        const kind = payloadKindOf(volume);
        if (known !== undefined && kind === undefined) return this.#csi.refresh(pod, volume.name, signal);
        const paths = podPaths(this.#options.kubeletDir, uid);
        if (kind !== undefined) {
          const { objects } = this.#options;
          const input = { source: objects, facts, token: objects.token };
          mounted.set(volume.name, await writePayloadVolume(kind, volume, { pod, paths, input }));
        } else {
          const attributes = { "pod.uid": uid, "volume.name": volume.name };
          mounted.set(
            volume.name,
            await withSpan("kubelet.mountVolume", attributes, () => this.#open(pod, volume, paths, signal)),
          );
        }
      }),
    );
    signal.throwIfAborted();
    const failures = results.flatMap((result, index) =>
      result.status === "rejected" ? [new VolumeError(usedVolumes(pod)[index]?.name ?? "", result.reason)] : [],
    );
    if (failures.length > 0) throw new AggregateError(failures, "");
    return mounted;
  }

  async #open(pod: Pod, volume: Volume, paths: PodPaths, signal: AbortSignal): Promise<MountedVolume> {
    const { fsGroup } = pod.spec?.securityContext ?? {};
    if (volume.emptyDir !== undefined) {
      const hostPath = paths.volume(emptyDirPlugin, volume.name);
      await prepareEmptyDir(hostPath, volume.emptyDir, pod);
      if (fsGroup !== undefined) await setFsGroup(hostPath, { fsGroup, signal, policy: "OnRootMismatch" });
      return { kind: "folder", hostPath, readOnly: false };
    }
    if (volume.hostPath !== undefined) {
      return { kind: "host", hostPath: await prepareHostPath(volume.hostPath), readOnly: false };
    }
    if (volume.nfs !== undefined)
      return openNfsVolume(volume.nfs, { target: paths.volume(nfsPlugin, volume.name), signal });
    if (volume.csi !== undefined) return this.#csi.open(pod, volume.name, inlineCsiVolume(pod, volume), signal);
    if (volume.flexVolume !== undefined)
      return this.#flex.open(pod, inlineFlexVolume(volume.name, volume.flexVolume), signal);
    if (claimNameOf(pod, volume) !== undefined) {
      const mounted = await this.#openClaimed(pod, volume, signal);
      return volume.persistentVolumeClaim?.readOnly === true ? { ...mounted, readOnly: true } : mounted;
    }
    const driver = inlineDriverOf(volume);
    const serving = driver === undefined ? "" : await this.#servingFor(pod, driver);
    const cloud = inlineCloudVolume(volume, namespaceOf(pod), () => serving);
    if (cloud === undefined) throw unknownKind(Object.keys(volume).find((key) => key !== "name"));
    return this.#csi.open(pod, volume.name, persistentCsiVolume(cloud, false), signal);
  }

  async #openClaimed(pod: Pod, volume: Volume, signal: AbortSignal): Promise<MountedVolume> {
    const { objects, kubeletDir } = this.#options;
    const pv = await claimedVolume(pod, volume, objects);
    const readOnly = mountsClaimReadOnly(pod, volume);
    if (pv.spec?.flexVolume !== undefined) return this.#flex.open(pod, persistentFlexVolume(pv, readOnly), signal);
    const opened = await openPersistentVolume(pod, { pv, kubeletDir, readOnly, signal });
    return "kind" in opened ? opened : this.#csi.open(pod, volume.name, opened, signal);
  }

  /** The driver that serves in place of a cloud's: itself when it is installed or nothing stands in for it. */
  async #servingFor(pod: Pod, driver: string): Promise<string> {
    const { standIns, drivers, events, objects } = this.#options;
    const standIn = standIns?.[driver];
    if (standIn === undefined || drivers.has(driver)) return driver;
    if ((await objects.csiDriver(driver)) !== undefined) return driver;
    events.normal(pod, "DriverStandsIn", standInMessage(driver, standIn));
    return standIn;
  }

  /**
   * Takes away everything that the Pod has on this node, its folder included. Every step is tried; what failed comes as one
   * AggregateError, and the call can be repeated.
   */
  async tearDown(uid: string, signal: AbortSignal): Promise<void> {
    const { kubeletDir } = this.#options;
    const paths = podPaths(kubeletDir, uid);
    const failures: unknown[] = [];
    const attempt = async (work: () => Promise<void>): Promise<void> => {
      try {
        await work();
      } catch (error) {
        failures.push(error);
      }
    };
    this.#mounted.delete(uid);
    this.#csi.forget(uid);
    await attempt(() => removeSubPaths(paths.subPathsDir));
    const csi = this.#csiContext;
    await attempt(() => tearDownBlockVolumes(uid, csi, signal));
    await attempt(() => closeLocalDevices(kubeletDir, uid));
    for (const place of await this.#flex.placesOf(uid)) await attempt(() => this.#flex.tearDown(uid, place, signal));
    for (const plugin of await entriesOf(paths.volumesDir)) {
      // Nobody mounts there: what is below would be taken for the kubelet's own, and deleted.
      detachAt(join(paths.volumesDir, plugin));
      for (const name of await entriesOf(join(paths.volumesDir, plugin))) {
        await attempt(async () => {
          if (plugin === csiPlugin) await tearDownCsiVolume(uid, name, csi, signal);
          else if (!plugin.startsWith("kubernetes.io~"))
            await this.#flex.tearDown(uid, { folder: plugin, specName: name }, signal);
          else await this.#removeFolder(join(paths.volumesDir, plugin, name), plugin);
        });
      }
    }
    failpoint("kubelet.volumes.torn-down");
    if (failures.length > 0) throw new AggregateError(failures, `unmount volumes of pod ${uid}`);
    await removeTree(paths.dir);
    await this.#inUse.remove(uid);
  }

  /** Removes a volume's folder; what is not the kubelet's own is never deleted, only unmounted. */
  async #removeFolder(path: string, plugin: string): Promise<void> {
    if (plugin === nfsPlugin) await closeNfsVolume(path);
    else if (plugin === localPlugin) await removeMountFolder(path);
    else await removeTree(path);
  }
}
