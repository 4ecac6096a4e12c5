import { createHash } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { failpoint, KeyedMutex, Records, type RecordTable, TripodError } from "@tripod/base";
import type { StoredVolume, VolumeStorage } from "./volume-storage.ts";

/** A volume that exists, or is being deleted; the id of the record is the volume's. */
export interface VolumeRecord {
  readonly name: string;
  /** Decimal: JSON knows no bigint. */
  readonly capacityBytes: string;
  readonly parameters: Readonly<Record<string, string>>;
  readonly mutableParameters?: Readonly<Record<string, string>>;
  /** A volume without it is mounted. */
  readonly accessType?: "mount" | "block";
  readonly fsType?: string;
  readonly source?: { readonly kind: "snapshot" | "volume"; readonly id: string };
  /** It lives as long as its one publication. */
  readonly ephemeral?: true;
  readonly state: "ready" | "deleting";
}

/** A snapshot that exists, or is being deleted. */
export interface SnapshotRecord {
  readonly name: string;
  readonly sourceVolumeId: string;
  readonly sizeBytes: string;
  readonly accessType: "mount" | "block";
  readonly fsType: string;
  readonly createdAtMs: number;
  readonly groupId?: string;
  readonly state: "ready" | "deleting";
}

/** Snapshots taken together. */
export interface GroupRecord {
  readonly name: string;
  readonly snapshotIds: readonly string[];
  readonly sourceVolumeIds: readonly string[];
  readonly createdAtMs: number;
}

/** Where a volume is, or is about to be, mounted; the id of the record is the target path. */
export interface PublicationRecord {
  readonly volumeId: string;
  readonly readonly: boolean;
  readonly mountFlags: readonly string[];
  /** The access mode's number in the CSI specification. */
  readonly accessMode: number;
  /** "publishing" until the mount is complete: what a crash left at the target is then made afresh. */
  readonly state: "publishing" | "published";
}

/** A volume's attachment to this node (only for drivers that attach); the id of the record is the volume's. */
export interface AttachmentRecord {
  readonly readonly: boolean;
}

const ownId = /^(vol|snap|group)-[0-9a-f]{32}$/;

const hashed = (prefix: string, text: string): string =>
  `${prefix}-${createHash("sha256").update(text).digest("hex").slice(0, 32)}`;

/** The same name always has the same id, so that a creation that is asked for again needs no search. */
export const volumeIdOf = (name: string): string => hashed("vol", name);
export const snapshotIdOf = (name: string): string => hashed("snap", name);
export const groupIdOf = (name: string): string => hashed("group", name);

/** What names a volume's files. An id that somebody else gave out (a handle of a static volume) never becomes part of a path. */
export const storageIdOf = (volumeId: string): string =>
  ownId.test(volumeId) ? volumeId : hashed("vol", `static\0${volumeId}`);

export const storedVolume = (volumeId: string, record: VolumeRecord): StoredVolume => ({
  volumeId,
  storageId: storageIdOf(volumeId),
  capacityBytes: BigInt(record.capacityBytes),
  accessType: record.accessType ?? "mount",
  fsType: record.fsType ?? "",
  parameters: record.parameters,
  mutableParameters: record.mutableParameters ?? {},
});

/** What a local driver remembers: SQLite records beside its storage, both under one state folder. */
export class LocalRecords implements Disposable {
  readonly volumes: RecordTable<VolumeRecord>;
  readonly snapshots: RecordTable<SnapshotRecord>;
  readonly groups: RecordTable<GroupRecord>;
  readonly publications: RecordTable<PublicationRecord>;
  readonly attachments: RecordTable<AttachmentRecord>;
  /** Work on one volume or snapshot, by id: creation is asked for by name, the rest by id. */
  readonly locks = new KeyedMutex();
  readonly dir: string;
  readonly #records: Records;

  constructor(stateDir: string) {
    this.dir = resolve(stateDir);
    mkdirSync(this.dir, { recursive: true, mode: 0o700 });
    this.#records = Records.open(join(this.dir, "records.db"));
    this.volumes = this.#records.table("volumes");
    this.snapshots = this.#records.table("snapshots");
    this.groups = this.#records.table("groups");
    this.publications = this.#records.table("publications");
    this.attachments = this.#records.table("attachments");
  }

  /** Runs one synchronous step whose writes are kept all or none. */
  transaction(work: () => void): void {
    this.#records.transaction(work);
  }

  /** The names of the files of all that is there. */
  storageIds(): Set<string> {
    return new Set([...this.volumes.entries(), ...this.snapshots.entries()].map(([id]) => storageIdOf(id)));
  }

  /** The record of a volume that is there; "not-found" otherwise. */
  volume(volumeId: string): VolumeRecord {
    const found = this.volumes.get(volumeId);
    if (found?.state !== "ready")
      throw new TripodError("not-found", `volume ${JSON.stringify(volumeId)}: does not exist`);
    return found;
  }

  /** The record of a snapshot that is there; "not-found" otherwise. */
  snapshot(snapshotId: string): SnapshotRecord {
    const found = this.snapshots.get(snapshotId);
    if (found?.state !== "ready")
      throw new TripodError("not-found", `snapshot ${JSON.stringify(snapshotId)}: does not exist`);
    return found;
  }

  /** Where the volume is mounted or about to be. */
  publicationsOf(volumeId: string): [targetPath: string, record: PublicationRecord][] {
    return this.publications.entries().filter(([, record]) => record.volumeId === volumeId);
  }

  /** Removes a volume's data, then its record. */
  async removeVolume(volumeId: string, storage: VolumeStorage): Promise<void> {
    const record = this.volumes.get(volumeId);
    if (record === undefined) return;
    if (record.state !== "deleting") this.volumes.put(volumeId, { ...record, state: "deleting" });
    failpoint("csi.local.delete.marked");
    await storage.remove(storageIdOf(volumeId));
    failpoint("csi.local.delete.data-gone");
    this.volumes.delete(volumeId);
  }

  async removeSnapshot(snapshotId: string, storage: VolumeStorage): Promise<void> {
    const record = this.snapshots.get(snapshotId);
    if (record === undefined) return;
    if (record.state !== "deleting") this.snapshots.put(snapshotId, { ...record, state: "deleting" });
    failpoint("csi.local.delete-snapshot.marked");
    await storage.removeSnapshot(snapshotId);
    failpoint("csi.local.delete-snapshot.data-gone");
    this.snapshots.delete(snapshotId);
  }

  /** Ends the deletions that a crash cut short. */
  async finishDeletions(storage: VolumeStorage): Promise<void> {
    for (const [id, { state }] of this.volumes.entries())
      if (state === "deleting") await this.removeVolume(id, storage);
    for (const [id, { state }] of this.snapshots.entries())
      if (state === "deleting") await this.removeSnapshot(id, storage);
  }

  [Symbol.dispose](): void {
    this.#records[Symbol.dispose]();
  }
}
