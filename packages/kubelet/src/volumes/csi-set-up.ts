import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import type { CSIDriver, Pod } from "@tripod/api/kubernetes";
import { failpoint, isTripodError, messageOf, TripodError } from "@tripod/base";
import { uidOf } from "../pods/pod-facts.ts";
import { volumeCapability } from "./csi-capability.ts";
import { checkPublished } from "./check-published.ts";
import { claimBlockVolume } from "./csi-block.ts";
import type { NodeCapabilities } from "./csi-drivers.ts";
import {
  attachmentName,
  blockHeldPath,
  blockPublishPath,
  blockStagingPath,
  publishPath,
  stagingPath,
} from "./csi-paths.ts";
import { type CsiContext, type CsiPublication, volumeKey } from "./csi-publication.ts";
import { secretsOf } from "./csi-secrets.ts";
import { type CsiVolume, kubeletSetsFsGroup, podInfo } from "./csi-spec.ts";
import { serviceAccountTokens } from "./csi-tokens.ts";
import { setFsGroup } from "./fs-group.ts";
import { holdDevice } from "./held-device.ts";
import { seLinuxMountLabel } from "./selinux-mount.ts";
import { type VolData, writeVolData } from "./vol-data.ts";

/** The node takes no more volumes of the driver: the Pod has to go elsewhere. */
export class VolumeLimitError extends TripodError {}

export interface CsiSetUpContext extends CsiContext {
  /** Told before a volume's attachment is waited for: the node's status says which volumes are in use. */
  readonly announceInUse: (volume: CsiVolume) => Promise<void>;
}

/** What is to be made ready: a CSI volume under its name in a Pod. */
export interface CsiSetUp {
  readonly pod: Pod;
  readonly volumeName: string;
  readonly volume: CsiVolume;
  /** It is published already, and is to be published again: with fresh tokens, and without staging. */
  readonly again?: CsiPublication;
}

const withMountOption = (volume: CsiVolume, option: string): CsiVolume => ({
  ...volume,
  mountOptions: [...volume.mountOptions.filter((each) => each !== option), option],
});

/** Waits for the volume's attachment. */
async function attach(
  attachmentID: string,
  driverObject: CSIDriver | undefined,
  { objects, limitReached, log }: CsiSetUpContext,
  signal: AbortSignal,
): Promise<Readonly<Record<string, string>>> {
  // Upstream's condition: who lets the limit be read again may be told that it is lower than the scheduler thought.
  const limited = driverObject?.spec?.nodeAllocatableUpdatePeriodSeconds !== undefined;
  try {
    return await objects.attached(attachmentID, { limited }, signal);
  } catch (cause) {
    if (!limited || !isTripodError(cause, "exhausted")) throw cause;
    const driver = driverObject.metadata?.name ?? "";
    await limitReached(driver, signal).catch((error: unknown) => {
      log.warn({ driver, error: messageOf(error) }, "how many volumes this node takes was not brought up to date");
    });
    throw new VolumeLimitError("exhausted", messageOf(cause), { cause });
  }
}

interface SetUpCall extends CsiSetUp {
  readonly driverObject: CSIDriver | undefined;
  readonly capabilities: NodeCapabilities;
  readonly fsGroup: number | undefined;
  readonly publishContext: Readonly<Record<string, string>>;
  readonly data: VolData;
}

/**
 * Makes a CSI volume ready for a Pod: waits for its attachment where the driver needs one, stages and publishes it. Every step may be
 * repeated; the facts needed to undo it are on disk before the driver is called.
 */
export async function setUpCsiVolume(
  what: CsiSetUp,
  context: CsiSetUpContext,
  signal: AbortSignal,
): Promise<CsiPublication> {
  const { pod } = what;
  const { nodeName, objects } = context;
  const driver = await context.drivers.registered(what.volume.driver, signal);
  const driverObject = await objects.csiDriver(what.volume.driver);
  const label = seLinuxMountLabel(pod, what.volumeName, { volume: what.volume, driver: driverObject });
  const volume = label === undefined ? what.volume : withMountOption(what.volume, `context="${label}"`);
  const modes = driverObject?.spec?.volumeLifecycleModes ?? ["Persistent"];
  if (!modes.includes(volume.lifecycle)) {
    throw new TripodError("failed-precondition", `driver ${volume.driver}: does not offer ${volume.lifecycle} volumes`);
  }
  const attachmentID = attachmentName(volume.handle, volume.driver, nodeName);
  let publishContext: Readonly<Record<string, string>> = {};
  if (volume.lifecycle === "Persistent" && (driverObject?.spec?.attachRequired ?? true)) {
    await context.announceInUse(volume);
    publishContext = await attach(attachmentID, driverObject, context, signal);
  }
  const data: VolData = {
    driverName: volume.driver,
    volumeHandle: volume.handle,
    specVolID: volume.specName,
    nodeName,
    attachmentID,
    volumeLifecycleMode: volume.lifecycle,
    ...(label === undefined ? {} : { seLinuxMountContext: label }),
  };
  const capabilities = await driver.capabilities(signal);
  const fsGroup = pod.spec?.securityContext?.fsGroup;
  const call = { ...what, volume, driverObject, data, capabilities, fsGroup, publishContext };
  return context.locks.run(volumeKey(volume), async () => {
    signal.throwIfAborted();
    return setUpLocked(call, context, signal);
  });
}

async function setUpLocked(call: SetUpCall, context: CsiSetUpContext, signal: AbortSignal): Promise<CsiPublication> {
  const { pod, volume, volumeName, data, capabilities, driverObject, fsGroup, again } = call;
  const { kubeletDir } = context;
  const targetPath = volume.block
    ? blockPublishPath(kubeletDir, volume.specName, uidOf(pod))
    : publishPath(kubeletDir, uidOf(pod), volume.specName);
  await mkdir(dirname(targetPath), { recursive: true, mode: 0o750 });
  if (volume.block) await claimBlockVolume(kubeletDir, uidOf(pod), data);
  else await writeVolData(targetPath, data);
  failpoint("kubelet.csi.claimed");
  // The Pod's claim on the volume is on disk from here on: a tear-down of another Pod will not unstage it.
  const staged = again?.stagingPath ?? (await stage(call, context, signal));
  failpoint("kubelet.csi.before-publish");
  await publish(call, { staged, targetPath }, context, signal);
  failpoint("kubelet.csi.published");
  await checkPublished(volume, targetPath);
  if (volume.block) await holdDevice(targetPath, blockHeldPath(kubeletDir, volume.specName, uidOf(pod)));
  if (fsGroup !== undefined && !capabilities.volumeMountGroup && kubeletSetsFsGroup(driverObject, volume)) {
    await setFsGroup(targetPath, { fsGroup, signal, policy: pod.spec?.securityContext?.fsGroupChangePolicy });
  }
  return {
    pod,
    volumeName,
    volume,
    targetPath,
    stagingPath: staged,
    republish: driverObject?.spec?.requiresRepublish === true,
    publishedAtMs: Date.now(),
  };
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
    { signal, timeoutMs: context.callTimeoutMs },
  );
  failpoint("kubelet.csi.staged");
  return path;
}

async function publish(
  call: SetUpCall,
  { staged, targetPath }: { readonly staged: string; readonly targetPath: string },
  { objects, drivers, callTimeoutMs }: CsiSetUpContext,
  signal: AbortSignal,
): Promise<void> {
  const { pod, volume, capabilities, driverObject, fsGroup } = call;
  const tokens = await serviceAccountTokens(pod, driverObject, objects);
  const inSecrets = driverObject?.spec?.serviceAccountTokenInSecrets === true;
  await drivers.get(volume.driver).node.nodePublishVolume(
    {
      volumeId: volume.handle,
      publishContext: { ...call.publishContext },
      stagingTargetPath: staged,
      targetPath,
      volumeCapability: volumeCapability(volume, capabilities, fsGroup),
      readonly: volume.readOnly,
      secrets: { ...(await secretsOf(objects, volume.publishSecret)), ...(inSecrets ? tokens : {}) },
      volumeContext: {
        ...volume.attributes,
        ...(driverObject?.spec?.podInfoOnMount === true ? podInfo(pod, volume) : {}),
        ...(inSecrets ? {} : tokens),
      },
    },
    { signal, timeoutMs: callTimeoutMs },
  );
}
