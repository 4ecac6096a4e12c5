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
import { attachmentWait, claimWait, podWait, type Progress, volumeWait } from "./waits-for.ts";

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
    ...missingClaims(facts),
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

/** The claims that Pods name and that are not there. */
function missingClaims(facts: VolumeFacts): VolumeLine[] {
  const keyOf = ({ namespace = "default" }: { readonly namespace?: string }, name: string) => `${namespace}/${name}`;
  const there = new Set(facts.claims.map(({ metadata }) => keyOf(metadata, metadata.name)));
  const users = Map.groupBy(
    facts.pods.flatMap((pod) => claimsOf(pod).map((name) => ({ pod, key: keyOf(pod.metadata, name) }))),
    ({ key }) => key,
  );
  return [...users]
    .filter(([key]) => !there.has(key))
    .map(([key, uses]) =>
      line("claim", key, {
        state: "Missing",
        waitsFor: "somebody to create it",
        within: uses.map(({ pod }) => podLine(pod, undefined, facts)),
      }),
    );
}

/** The names of the claims that a Pod uses. */
const claimsOf = (pod: Stored<Pod>): string[] =>
  (pod.spec.volumes ?? []).flatMap(({ name, persistentVolumeClaim, ephemeral }) => {
    if (persistentVolumeClaim !== undefined) return [persistentVolumeClaim.claimName];
    return ephemeral === undefined ? [] : [`${pod.metadata.name}-${name}`];
  });

const usesClaim = (pod: Stored<Pod>, namespace: string, claimName: string): boolean =>
  (pod.metadata.namespace ?? "default") === namespace && claimsOf(pod).includes(claimName);

function volumeLine(
  volume: Stored<PersistentVolume>,
  claim: { readonly namespace: string; readonly name: string } | undefined,
  facts: VolumeFacts,
): VolumeLine {
  const { name } = volume.metadata;
  const { claimRef } = volume.spec;
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
      claim === undefined && claimRef !== undefined ? `for ${claimRef.namespace}/${claimRef.name}` : "",
    ],
    waitsFor: volumeWait(volume),
    within: [
      ...attachments.map((attachment) =>
        line("attachment", attachment.metadata.name, {
          state: attachment.status?.attached === true ? "attached" : "not attached",
          details: [`to ${attachment.spec.nodeName}`],
          waitsFor: attachmentWait(attachment),
        }),
      ),
      ...(csi === undefined ? [] : stagedLines(csi, facts)),
      ...users.map((pod) => podLine(pod, volume, facts)),
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

function podLine(pod: Stored<Pod>, volume: Stored<PersistentVolume> | undefined, facts: VolumeFacts): VolumeLine {
  const { namespace = "default", name } = pod.metadata;
  const shown = volume === undefined ? "" : shownAt(pod, volume.metadata.name, facts);
  return line("pod", `${namespace}/${name}`, {
    state: pod.metadata.deletionTimestamp === undefined ? (pod.status?.phase ?? "Pending") : "Terminating",
    details: [pod.spec.nodeName === undefined ? "" : `on ${pod.spec.nodeName}`, shown],
    waitsFor: podWait(pod, facts.events, progressOf(pod, { volume, isShown: shown !== "" }, facts)),
  });
}

/** Where this node has the volume for the Pod; empty where it does not. */
function shownAt(pod: Stored<Pod>, volumeName: string, { mounts, kubeletDir }: VolumeFacts): string {
  const { uid } = pod.metadata;
  const folder = join(kubeletDir, "pods", uid, "volumes");
  const found = mounts.find(({ mountPoint }) => {
    if (mountPoint.startsWith(`${folder}/`)) return mountPoint.slice(folder.length).split("/")[2] === volumeName;
    const words = mountPoint.startsWith(join(kubeletDir, "plugins/")) ? mountPoint.split("/") : [];
    return words.at(-1) === uid && words.includes("volumeDevices") && words.includes(volumeName);
  });
  if (found === undefined) return "";
  const kind = found.mountPoint.startsWith(folder) ? "mounted" : "device";
  return `${kind} at ${found.mountPoint}${found.options.includes("ro") ? ", read-only" : ""}`;
}

function progressOf(
  pod: Stored<Pod>,
  { volume, isShown }: { readonly volume: Stored<PersistentVolume> | undefined; readonly isShown: boolean },
  { mounts, kubeletDir }: VolumeFacts,
): Progress {
  if (volume === undefined) return "unbound";
  const folder = join(kubeletDir, "pods", pod.metadata.uid, "/");
  const isHere = mounts.some(({ mountPoint }) => mountPoint.startsWith(folder));
  // What other nodes mount is not seen from here, and hostPath is not mounted.
  return isHere && !isShown && volume.spec.hostPath === undefined ? "away" : "there";
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
