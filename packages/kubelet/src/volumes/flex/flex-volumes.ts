import { mkdir, rmdir } from "node:fs/promises";
import { dirname } from "node:path";
import type { Pod, Secret } from "@tripod/api/kubernetes";
import { failpoint, isNodeError, KeyedMutex, TripodError } from "@tripod/base";
import { bindMount, isMountPoint, unmount } from "@tripod/linux";
import { namespaceOf, uidOf } from "../../pods/pod-facts.ts";
import { setFsGroup } from "../fs-group.ts";
import type { MountedVolume } from "../mounted-volume.ts";
import { flexCall, flexCallOk } from "./flex-call.ts";
import { type FlexDriver, FlexDrivers } from "./flex-drivers.ts";
import { deviceMountPath, flexTarget, folderOf, parseDriverName } from "./flex-paths.ts";
import { type FlexRecord, flexRecords, readFlexRecord, removeFlexRecord, writeFlexRecord } from "./flex-records.ts";
import { type FlexVolume, flexOptions } from "./flex-spec.ts";

export interface FlexVolumesOptions {
  readonly kubeletDir: string;
  readonly nodeName: string;
  /** The folder with a folder for each driver. */
  readonly flexDriversDir: string;
  readonly secret: (namespace: string, name: string) => Promise<Secret | undefined>;
}

/** A volume's folder in a Pod's folder. */
interface FlexPlace {
  /** "vendor~driver". */
  readonly folder: string;
  readonly specName: string;
}

/** Everything that is asked of a driver about one volume. */
interface Call {
  readonly driver: FlexDriver;
  readonly options: string;
  /** Where its device is mounted for the whole node. */
  readonly devicePath: string;
  readonly target: string;
  readonly readOnly: boolean;
  readonly signal: AbortSignal;
}

/**
 * Volumes of FlexVolume drivers, programs that are called for each step. This node attaches and detaches by itself. Every step may be repeated; what
 * is needed to undo it is on disk before a driver is called.
 */
export class FlexVolumes {
  readonly #options: FlexVolumesOptions;
  readonly #drivers: FlexDrivers;
  /** By driver and volume: the last one to leave must not meet the next one to come. */
  readonly #locks = new KeyedMutex();

  constructor(options: FlexVolumesOptions) {
    this.#options = options;
    this.#drivers = new FlexDrivers(options.flexDriversDir);
  }

  /** Makes a volume ready for a Pod. */
  async open(pod: Pod, volume: FlexVolume, signal: AbortSignal): Promise<MountedVolume> {
    const { kubeletDir } = this.#options;
    const name = parseDriverName(volume.source.driver);
    const driver = await this.#drivers.get(name, signal);
    const fsGroup = pod.spec?.securityContext?.fsGroup;
    const secret = await this.#secretOf(pod, volume);
    const options = flexOptions(pod, volume, { secret, fsGroup });
    const asked = await flexCallOk(driver.program, ["getvolumename", options], signal);
    const volumeName = asked === undefined || asked.volumeName === "" ? volume.specName : asked.volumeName;
    const devicePath = deviceMountPath(kubeletDir, name, volumeName);
    const target = flexTarget(kubeletDir, uidOf(pod), { folder: folderOf(name), specName: volume.specName });
    const record: FlexRecord = {
      podUid: uidOf(pod),
      specName: volume.specName,
      driver: volume.source.driver,
      volumeName,
    };
    return this.#locks.run(`${volume.source.driver} ${volumeName}`, async () => {
      await writeFlexRecord(kubeletDir, record);
      failpoint("kubelet.flex.recorded");
      await mkdir(dirname(target), { recursive: true, mode: 0o750 });
      const call = { driver, options, devicePath, target, readOnly: volume.readOnly, signal };
      if (driver.attach) await this.#mountDevice(call);
      if (!isMountPoint(target)) await this.#mount(call);
      failpoint("kubelet.flex.mounted");
      if (fsGroup !== undefined && !volume.readOnly && driver.fsGroup)
        await setFsGroup(target, { fsGroup, signal, policy: pod.spec?.securityContext?.fsGroupChangePolicy });
      return { kind: "folder", hostPath: target, readOnly: volume.readOnly };
    });
  }

  async #secretOf(pod: Pod, { source }: FlexVolume): Promise<Secret | undefined> {
    const name = source.secretRef?.name;
    if (name === undefined) return undefined;
    const own =
      source.secretRef !== undefined && "namespace" in source.secretRef ? source.secretRef.namespace : undefined;
    const namespace = own ?? namespaceOf(pod);
    const secret = await this.#options.secret(namespace, name);
    if (secret === undefined)
      throw new TripodError("not-found", `secret ${namespace}/${name} of the volume: not found`);
    return secret;
  }

  /** Attaches the volume and mounts its device once for the node, unless that is done. */
  async #mountDevice({ driver: { program }, options, devicePath, signal }: Call): Promise<void> {
    if (isMountPoint(devicePath)) return;
    const { nodeName } = this.#options;
    const attached = await flexCallOk(program, ["attach", options, nodeName], signal);
    failpoint("kubelet.flex.attached");
    const waited = await flexCallOk(program, ["waitforattach", attached?.device ?? "", options], signal);
    const device = waited === undefined || waited.device === "" ? (attached?.device ?? "") : waited.device;
    const { status, attached: isAttached } = await flexCall(program, ["isattached", options, nodeName], signal);
    if (status === "Success" && !isAttached)
      throw new TripodError(
        "unavailable",
        `flexVolume driver ${program}: attach succeeded, but isattached says no; trying again`,
      );
    await mkdir(devicePath, { recursive: true, mode: 0o750 });
    if ((await flexCallOk(program, ["mountdevice", devicePath, device, options], signal)) === undefined)
      throw new TripodError(
        "unimplemented",
        `flexVolume driver ${program}: it attaches, but has no mountdevice; its init must say attach: false`,
      );
    failpoint("kubelet.flex.device-mounted");
  }

  async #mount({ driver, options, devicePath, target, readOnly, signal }: Call): Promise<void> {
    const what = `flexVolume driver ${driver.program}: mount`;
    if ((await flexCallOk(driver.program, ["mount", target, options], signal)) === undefined) {
      if (!driver.attach) throw new TripodError("unimplemented", `${what}: it knows neither attach nor mount`);
      await mkdir(target, { recursive: true, mode: 0o750 });
      bindMount(devicePath, target, { readOnly });
    }
    if (!isMountPoint(target))
      throw new TripodError("internal", `${what} succeeded, but nothing is mounted at ${target}; look into the driver`);
  }

  /** What a Pod has here, also when its folder has gone already. */
  async placesOf(podUid: string): Promise<FlexPlace[]> {
    const own = (await flexRecords(this.#options.kubeletDir)).filter((record) => record.podUid === podUid);
    return own.map(({ driver, specName }) => ({ folder: folderOf(parseDriverName(driver)), specName }));
  }

  /** Takes a volume away from a Pod, from what is on disk alone; `folder` is its driver's. Idempotent. */
  async tearDown(podUid: string, place: FlexPlace, signal: AbortSignal): Promise<void> {
    const { kubeletDir } = this.#options;
    const record = await readFlexRecord(kubeletDir, podUid, place.specName);
    const target = flexTarget(kubeletDir, podUid, place);
    if (record === undefined) return removeTarget(target); // nobody knows its driver: the mount can still be taken away
    await this.#locks.run(`${record.driver} ${record.volumeName}`, async () => {
      const name = parseDriverName(record.driver);
      const driver = await this.#drivers.get(name, signal);
      if (isMountPoint(target)) await flexCallOk(driver.program, ["unmount", target], signal);
      failpoint("kubelet.flex.unmounted");
      await removeTarget(target);
      if (driver.attach && (await this.#isLast(record))) await this.#detach(driver, record, signal);
      await removeFlexRecord(kubeletDir, podUid, place.specName);
    });
  }

  /** Whether no other Pod on this node has the volume, or is about to. */
  async #isLast({ podUid, specName, driver, volumeName }: FlexRecord): Promise<boolean> {
    const others = (await flexRecords(this.#options.kubeletDir)).filter(
      (other) => other.podUid !== podUid || other.specName !== specName,
    );
    return !others.some((other) => other.driver === driver && other.volumeName === volumeName);
  }

  async #detach({ program }: FlexDriver, { driver, volumeName }: FlexRecord, signal: AbortSignal): Promise<void> {
    const { kubeletDir, nodeName } = this.#options;
    const devicePath = deviceMountPath(kubeletDir, parseDriverName(driver), volumeName);
    if (isMountPoint(devicePath)) await flexCallOk(program, ["unmountdevice", devicePath], signal);
    failpoint("kubelet.flex.device-unmounted");
    await removeTarget(devicePath);
    await flexCallOk(program, ["detach", volumeName, nodeName], signal);
    failpoint("kubelet.flex.detached");
  }
}

/** Removes the folder of a mount, which is detached first should the driver have left it; nothing in it is deleted. */
async function removeTarget(path: string): Promise<void> {
  while (isMountPoint(path)) unmount(path, { detach: true, noFollow: true });
  try {
    await rmdir(path);
  } catch (error) {
    if (!isNodeError(error, "ENOENT")) throw error;
  }
}
