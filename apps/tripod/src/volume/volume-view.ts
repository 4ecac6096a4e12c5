import { createHash } from "node:crypto";
import { join } from "node:path";
import type {
  Event,
  PersistentVolume,
  PersistentVolumeClaim,
  Pod,
  Stored,
  VolumeAttachment,
} from "@tripod/api/kubernetes";
import { asCsiVolume } from "@tripod/csi/migration";
import type { LoopDevice, MountInfo } from "@tripod/linux";
import { attachmentWait, claimWait, podWait } from "./waits-for.ts";

/** A line of the picture: what it is, how it is, and what it waits for, with what depends on it. */
export interface VolumeLine {
  readonly kind: "claim" | "volume" | "attachment" | "staged" | "pod";
  readonly name: string;
  readonly state: string;
  readonly details: readonly string[];
  readonly waitsFor?: string;
  readonly within: readonly VolumeLine[];
}

/** Everything that the picture is drawn from. */
export interface VolumeFacts {
  readonly claims: readonly Stored<PersistentVolumeClaim>[];
  readonly volumes: readonly Stored<PersistentVolume>[];
  readonly attachments: readonly Stored<VolumeAttachment>[];
  readonly pods: readonly Stored<Pod>[];
  readonly events: readonly Event[];
  /** Of this node. */
  readonly mounts: readonly MountInfo[];
  readonly loops: readonly LoopDevice[];
  readonly kubeletDir: string;
}

const line = (
  kind: VolumeLine["kind"],
  name: string,
  parts: {
    state: string;
    details?: readonly (string | undefined)[];
    waitsFor?: string | undefined;
    within?: readonly VolumeLine[];
  },
): VolumeLine => ({
  kind,
  name,
  state: parts.state,
  details: (parts.details ?? []).filter((each): each is string => each !== undefined && each !== ""),
  ...(parts.waitsFor === undefined ? {} : { waitsFor: parts.waitsFor }),
  within: parts.within ?? [],
});

/** Pure: every claim with its volume, attachments, mounts and Pods; then the volumes that belong to no claim. */
export function volumeView(facts: VolumeFacts): VolumeLine[] {
  const bound = new Set(facts.claims.map(({ spec }) => spec.volumeName));
  const free = facts.volumes.filter(({ metadata }) => !bound.has(metadata.name));
  return [
    ...facts.claims.map((claim) => claimLine(claim, facts)),
    ...free.map((volume) => volumeLine(volume, undefined, facts)),
  ];
}

function claimLine(claim: Stored<PersistentVolumeClaim>, facts: VolumeFacts): VolumeLine {
  const { namespace = "default", name } = claim.metadata;
  const volume = facts.volumes.find((each) => each.metadata.name === claim.spec.volumeName);
  const users = facts.pods.filter((pod) => usesClaim(pod, namespace, name));
  const within =
    volume === undefined
      ? users.map((pod) => podLine(pod, undefined, facts))
      : [volumeLine(volume, { namespace, name }, facts)];
  const { storage } = claim.status?.capacity ?? claim.spec.resources?.requests ?? {};
  return line("claim", `${namespace}/${name}`, {
    state: claim.metadata.deletionTimestamp === undefined ? (claim.status?.phase ?? "Pending") : "Terminating",
    details: [
      storage,
      claim.spec.accessModes?.join(","),
      claim.spec.storageClassName,
      claim.spec.volumeMode === "Block" ? "block" : "",
    ],
    waitsFor: claimWait(claim, users, facts.events),
    within,
  });
}

function usesClaim(pod: Stored<Pod>, namespace: string, claimName: string): boolean {
  if ((pod.metadata.namespace ?? "default") !== namespace) return false;
  return (pod.spec.volumes ?? []).some(
    ({ name, persistentVolumeClaim, ephemeral }) =>
      persistentVolumeClaim?.claimName === claimName ||
      (ephemeral !== undefined && `${pod.metadata.name}-${name}` === claimName),
  );
}

function volumeLine(
  volume: Stored<PersistentVolume>,
  claim: { readonly namespace: string; readonly name: string } | undefined,
  facts: VolumeFacts,
): VolumeLine {
  const { name } = volume.metadata;
  const csi = asCsiVolume(volume)?.spec.csi;
  const kind = Object.keys(volume.spec).find((key) => ["hostPath", "local", "nfs", "flexVolume"].includes(key));
  const attachments = facts.attachments.filter(({ spec }) => spec.source.persistentVolumeName === name);
  const users = claim === undefined ? [] : facts.pods.filter((pod) => usesClaim(pod, claim.namespace, claim.name));
  return line("volume", name, {
    state: volume.metadata.deletionTimestamp === undefined ? (volume.status?.phase ?? "Pending") : "Terminating",
    details: [
      volume.spec.capacity?.storage,
      csi?.driver ?? kind,
      csi?.volumeHandle,
      volume.spec.persistentVolumeReclaimPolicy,
    ],
    waitsFor: volume.status?.message,
    within: [
      ...attachments.map((attachment) =>
        line("attachment", attachment.metadata.name, {
          state: attachment.status?.attached === true ? "attached" : "not attached",
          details: [`to ${attachment.spec.nodeName}`],
          waitsFor: attachmentWait(attachment),
        }),
      ),
      ...(csi === undefined ? [] : stagedLines(csi, facts)),
      ...users.map((pod) => podLine(pod, name, facts)),
    ],
  });
}

/** Where the volume is staged on this node. */
function stagedLines(
  { driver, volumeHandle }: { driver: string; volumeHandle: string },
  facts: VolumeFacts,
): VolumeLine[] {
  const folder = createHash("sha256").update(volumeHandle).digest("hex");
  const path = join(facts.kubeletDir, "plugins/kubernetes.io/csi", driver, folder, "globalmount");
  return facts.mounts
    .filter(({ mountPoint }) => mountPoint === path)
    .map((mount) => line("staged", path, { state: mount.type, details: deviceOf(mount, facts) }));
}

/** The device that is mounted, and for a loop device its file. */
function deviceOf({ source }: MountInfo, { loops }: VolumeFacts): string[] {
  const file = loops.find(({ path }) => path === source)?.backingFile;
  return [source, ...(file === undefined ? [] : [`file ${file}`])];
}

function podLine(pod: Stored<Pod>, volumeName: string | undefined, facts: VolumeFacts): VolumeLine {
  const { namespace = "default", name, uid } = pod.metadata;
  const folder = join(facts.kubeletDir, "pods", uid, "volumes");
  const mounted = facts.mounts.find(
    ({ mountPoint }) =>
      volumeName !== undefined && mountPoint.startsWith(`${folder}/`) && mountPoint.includes(`/${volumeName}`),
  );
  const readOnly = mounted?.options.includes("ro") === true;
  return line("pod", `${namespace}/${name}`, {
    state: pod.metadata.deletionTimestamp === undefined ? (pod.status?.phase ?? "Pending") : "Terminating",
    details: [
      pod.spec.nodeName === undefined ? "" : `on ${pod.spec.nodeName}`,
      mounted === undefined ? "" : `mounted at ${mounted.mountPoint}${readOnly ? ", read-only" : ""}`,
    ],
    waitsFor: podWait(pod, facts.events),
  });
}

/** The picture as text, two blanks deeper for each step. */
export function volumeText(lines: readonly VolumeLine[], depth = 0): string {
  const words: Readonly<Record<VolumeLine["kind"], string>> = {
    claim: "PVC",
    volume: "PV",
    attachment: "attachment",
    staged: "staged",
    pod: "Pod",
  };
  return lines
    .map(({ kind, name, state, details, waitsFor, within }) => {
      const facts = [words[kind], name, state, ...details].join("  ");
      const waits = waitsFor === undefined ? "" : `  ← waits: ${waitsFor}`;
      const own = `${"  ".repeat(depth)}${facts}${waits}`;
      return within.length === 0 ? own : `${own}\n${volumeText(within, depth + 1)}`;
    })
    .join("\n");
}
