import { createHash } from "node:crypto";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { isNodeError, TripodError, writeFileAtomicSync } from "@tripod/base";
import { ownFolderOf } from "./own-folder.ts";

/** What of a volume its id does not tell. It lies in the share, so that every controller finds it. */
export interface VolumeRecord {
  readonly name: string;
  readonly capacityBytes: string;
  /** The volume or snapshot that it is a copy of. */
  readonly source?: { readonly kind: "volume" | "snapshot"; readonly id: string };
  /** "making": it may be half a copy yet. */
  readonly state: "making" | "ready";
}

/** A volume by its folder and, where several may have that folder, its name. */
export interface VolumeKey {
  readonly dir: string;
  readonly subDir: string;
  readonly name: string;
}

const keyOf = (text: string): string => createHash("sha256").update(text).digest("hex").slice(0, 32);
const recordName = ({ subDir, name }: VolumeKey): string => `${keyOf(subDir)}-${keyOf(name)}.json`;
const recordFile = (volume: VolumeKey): string => join(ownFolderOf(volume.dir, "volumes"), recordName(volume));

/** Where a copy for a volume grows. */
export const makingOf = (volume: VolumeKey): string =>
  join(ownFolderOf(volume.dir, "making"), keyOf(`${volume.subDir}\0${volume.name}`));

/** Undefined for a volume that has none, as those of other drivers. */
export function readRecord(volume: VolumeKey): VolumeRecord | undefined {
  let text: string;
  try {
    text = readFileSync(recordFile(volume), "utf8");
  } catch (error) {
    if (isNodeError(error, "ENOENT")) return undefined;
    throw error;
  }
  const parsed: unknown = JSON.parse(text);
  if (isRecord(parsed)) return parsed;
  throw new TripodError("corrupt", `${recordFile(volume)}: no record of a volume; remove it`);
}

/** Clients of the share could have written it. */
const isRecord = (value: unknown): value is VolumeRecord =>
  typeof value === "object" &&
  value !== null &&
  "name" in value &&
  typeof value.name === "string" &&
  "capacityBytes" in value &&
  typeof value.capacityBytes === "string" &&
  /^\d{1,20}$/.test(value.capacityBytes) &&
  "state" in value &&
  (value.state === "making" || value.state === "ready");

export const writeRecord = (volume: VolumeKey, record: VolumeRecord): void =>
  writeFileAtomicSync(recordFile(volume), JSON.stringify(record));

export const removeRecord = (volume: VolumeKey): void => rmSync(recordFile(volume), { force: true });

/** Whether another volume has the same folder. */
export const isShared = (volume: VolumeKey): boolean =>
  readdirSync(ownFolderOf(volume.dir, "volumes")).some(
    (file) => file.startsWith(`${keyOf(volume.subDir)}-`) && file.endsWith(".json") && file !== recordName(volume),
  );
