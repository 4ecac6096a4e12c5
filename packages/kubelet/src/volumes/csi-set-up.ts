import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import type { CSIDriver, Pod, SecretReference } from "@tripod/api/kubernetes";
import { failpoint, type KeyedMutex, TripodError } from "@tripod/base";
import { secretDataOf } from "@tripod/csi";
import { uidOf } from "../pods/pod-facts.ts";
import { volumeCapability } from "./csi-capability.ts";
import type { CsiDrivers, NodeCapabilities } from "./csi-drivers.ts";
import {
  attachmentName,
  blockDataDir,
  blockPublishPath,
  blockStagingPath,
  publishPath,
  stagingPath,
} from "./csi-paths.ts";
import { type CsiVolume, kubeletSetsFsGroup, podInfo } from "./csi-spec.ts";
import { setFsGroup } from "./fs-group.ts";
import type { MountedVolume } from "./mounted-volume.ts";
import { type VolData, writeVolData } from "./vol-data.ts";
import type { VolumeObjects } from "./volume-objects.ts";

/** A driver has two minutes for one call, as upstream gives it. */
const callTimeoutMs = 120_000;

export interface CsiSetUpContext {
  readonly kubeletDir: string;
  readonly nodeName: string;
  readonly drivers: CsiDrivers;
  readonly objects: VolumeObjects;
  /** Shared with the tear-down. */
  readonly locks: KeyedMutex;
  /** Told before a volume's attachment is waited for: the node's status says which volumes are in use. */
  readonly announceInUse: (volume: CsiVolume) => Promise<void>;
}

async function secretsOf(
  objects: VolumeObjects,
  reference: SecretReference | undefined,
): Promise<Record<string, string>> {
  if (reference === undefined) return {};
  const { namespace = "", name = "" } = reference;
  const secret = await objects.secret(namespace, name);
  if (secret === undefined) throw new TripodError("not-found", `secret ${namespace}/${name} of the volume: not found`);
  return secretDataOf(secret);
}

async function serviceAccountTokens(pod: Pod, driver: CSIDriver | undefined, objects: VolumeObjects) {
  const requests = driver?.spec?.tokenRequests ?? [];
  if (requests.length === 0) return {};
  const tokens: Record<string, { token: string; expirationTimestamp: string }> = {};
  for (const { audience, expirationSeconds = 3600 } of requests) {
    const token = await objects.token(pod, { audience: audience === "" ? undefined : audience, expirationSeconds });
    tokens[audience ?? ""] = {
      token,
      expirationTimestamp: new Date(Date.now() + expirationSeconds * 1000).toISOString(),
    };
  }
  return { "csi.storage.k8s.io/serviceAccount.tokens": JSON.stringify(tokens) };
}

/** Stages the volume on the node (when the driver stages at all) and returns the staging path, or "" without one. */
async function stage(call: SetUpCall, context: CsiSetUpContext, signal: AbortSignal): Promise<string> {
  const { volume, capabilities } = call;
  if (!capabilities.stage || volume.lifecycle === "Ephemeral") return "";
  const path = volume.block
    ? blockStagingPath(context.kubeletDir, volume.specName)
    : stagingPath(context.kubeletDir, volume.driver, volume.handle);
  await mkdir(path, { recursive: true, mode: 0o750 });
  if (!volume.block) await writeVolData(path, call.data);
  failpoint("kubelet.csi.before-stage");
  await context.drivers.get(volume.driver).node.nodeStageVolume(
    {
      volumeId: volume.handle,
      publishContext: { ...call.publishContext },
      stagingTargetPath: path,
      volumeCapability: volumeCapability(volume, capabilities, call.fsGroup),
      secrets: await secretsOf(context.objects, volume.stageSecret),
      volumeContext: { ...volume.attributes },
    },
    { signal, timeoutMs: callTimeoutMs },
  );
  failpoint("kubelet.csi.staged");
  return path;
}

/**
 * Makes a CSI volume ready for a Pod: waits for its attachment where the driver needs one, stages and publishes it. Every step may be
 * repeated; the facts needed to undo it are on disk before the driver is called.
 */
export async function setUpCsiVolume(
  pod: Pod,
  volume: CsiVolume,
  context: CsiSetUpContext,
  signal: AbortSignal,
): Promise<MountedVolume> {
  const { nodeName, objects } = context;
  const driver = context.drivers.get(volume.driver);
  const driverObject = await objects.csiDriver(volume.driver);
  const modes = driverObject?.spec?.volumeLifecycleModes ?? ["Persistent"];
  if (!modes.includes(volume.lifecycle)) {
    throw new TripodError("failed-precondition", `driver ${volume.driver}: does not offer ${volume.lifecycle} volumes`);
  }
  const attachmentID = attachmentName(volume.handle, volume.driver, nodeName);
  let publishContext: Readonly<Record<string, string>> = {};
  if (volume.lifecycle === "Persistent" && (driverObject?.spec?.attachRequired ?? true)) {
    await context.announceInUse(volume);
    publishContext = await objects.attached(attachmentID, pod, signal);
  }
  const data: VolData = {
    driverName: volume.driver,
    volumeHandle: volume.handle,
    specVolID: volume.specName,
    nodeName,
    attachmentID,
    volumeLifecycleMode: volume.lifecycle,
  };
  const capabilities = await driver.capabilities(signal);
  const fsGroup = pod.spec?.securityContext?.fsGroup;
  const call = { data, capabilities, fsGroup, publishContext };
  return context.locks.run(`${volume.driver}^${volume.handle}`, async () => {
    signal.throwIfAborted();
    return setUpLocked(pod, { volume, driverObject, ...call }, context, signal);
  });
}

interface SetUpCall {
  readonly volume: CsiVolume;
  readonly driverObject: CSIDriver | undefined;
  readonly data: VolData;
  readonly capabilities: NodeCapabilities;
  readonly fsGroup: number | undefined;
  readonly publishContext: Readonly<Record<string, string>>;
}

async function setUpLocked(
  pod: Pod,
  call: SetUpCall,
  context: CsiSetUpContext,
  signal: AbortSignal,
): Promise<MountedVolume> {
  const { volume, data, capabilities, driverObject, fsGroup, publishContext } = call;
  const { kubeletDir, objects } = context;
  const target = volume.block
    ? blockPublishPath(kubeletDir, volume.specName, uidOf(pod))
    : publishPath(kubeletDir, uidOf(pod), volume.specName);
  await mkdir(dirname(target), { recursive: true, mode: 0o750 });
  if (volume.block) {
    const dataDir = blockDataDir(kubeletDir, volume.specName);
    await mkdir(dataDir, { recursive: true, mode: 0o750 });
    await writeVolData(`${dataDir}/any`, data);
  } else await writeVolData(target, data);
  // The Pod's claim on the volume is on disk from here on: a tear-down of another Pod will not unstage it.
  const staged = await stage(call, context, signal);
  failpoint("kubelet.csi.before-publish");
  await context.drivers.get(volume.driver).node.nodePublishVolume(
    {
      volumeId: volume.handle,
      publishContext: { ...publishContext },
      stagingTargetPath: staged,
      targetPath: target,
      volumeCapability: volumeCapability(volume, capabilities, fsGroup),
      readonly: volume.readOnly,
      secrets: await secretsOf(objects, volume.publishSecret),
      volumeContext: {
        ...volume.attributes,
        ...(driverObject?.spec?.podInfoOnMount === true ? podInfo(pod, volume) : {}),
        ...(await serviceAccountTokens(pod, driverObject, objects)),
      },
    },
    { signal, timeoutMs: callTimeoutMs },
  );
  failpoint("kubelet.csi.published");
  if (volume.block) return { kind: "device", devicePath: target, readOnly: volume.readOnly };
  if (fsGroup !== undefined && !capabilities.volumeMountGroup && kubeletSetsFsGroup(driverObject, volume)) {
    await setFsGroup(target, { fsGroup, signal, policy: pod.spec?.securityContext?.fsGroupChangePolicy });
  }
  return { kind: "folder", hostPath: target, readOnly: volume.readOnly };
}
