import { createHash } from "node:crypto";
import { mkdirSync, readdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { failpoint, KeyedMutex, Records, type RecordTable, TripodError } from "@tripod/base";

/** A volume that exists, or is being deleted. */
export interface VolumeRecord {
  readonly name: string;
  /** Decimal: JSON knows no bigint. */
  readonly capacityBytes: string;
  readonly parameters: Readonly<Record<string, string>>;
  readonly state: "ready" | "deleting";
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

/** A volume's attachment to this node (only with --attach); the id of the record is the volume's. */
export interface AttachmentRecord {
  readonly readonly: boolean;
}

const idPattern = /^vol-[0-9a-f]{32}$/;

/** Whether `id` has the form of an id that this driver gave out; no other ever becomes part of a path. */
export const isVolumeId = (id: string): boolean => idPattern.test(id);

/** What the driver remembers: SQLite records beside the volumes' folders, both under one state folder. */
export class HostpathState implements Disposable {
  readonly volumes: RecordTable<VolumeRecord>;
  readonly publications: RecordTable<PublicationRecord>;
  readonly attachments: RecordTable<AttachmentRecord>;
  /** Work on one volume, by id: creation is asked for by name, the rest by id. */
  readonly locks = new KeyedMutex();
  readonly dir: string;
  readonly #records: Records;

  private constructor(dir: string, records: Records) {
    this.dir = dir;
    this.#records = records;
    this.volumes = records.table("volumes");
    this.publications = records.table("publications");
    this.attachments = records.table("attachments");
  }

  /** Opens the state, and ends what a crash cut short: volumes half created or half deleted are removed. */
  static async open(stateDir: string): Promise<HostpathState> {
    const dir = resolve(stateDir);
    mkdirSync(join(dir, "volumes"), { recursive: true, mode: 0o700 });
    const state = new HostpathState(dir, Records.open(join(dir, "records.db")));
    for (const entry of readdirSync(join(dir, "volumes"))) {
      if (isVolumeId(entry) && state.volumes.get(entry)?.state !== "ready") await state.remove(entry);
    }
    for (const [id, record] of state.volumes.entries()) if (record.state === "deleting") state.volumes.delete(id);
    return state;
  }

  /** The same name always has the same id, so that a creation that is asked for again needs no search. */
  idOf(name: string): string {
    return `vol-${createHash("sha256").update(name).digest("hex").slice(0, 32)}`;
  }

  /** The folder that holds a volume's files. */
  folderOf(volumeId: string): string {
    if (!isVolumeId(volumeId))
      throw new TripodError("not-found", `volume ${JSON.stringify(volumeId)}: no id of this driver`);
    return join(this.dir, "volumes", volumeId);
  }

  /** The record of a volume that is there; "not-found" otherwise. */
  volume(volumeId: string): VolumeRecord {
    const found = isVolumeId(volumeId) ? this.volumes.get(volumeId) : undefined;
    if (found?.state !== "ready")
      throw new TripodError("not-found", `volume ${JSON.stringify(volumeId)}: does not exist`);
    return found;
  }

  /** Where the volume is mounted or about to be. */
  publicationsOf(volumeId: string): [targetPath: string, record: PublicationRecord][] {
    return this.publications.entries().filter(([, record]) => record.volumeId === volumeId);
  }

  /** Removes a volume's files, then its record. */
  async remove(volumeId: string): Promise<void> {
    await rm(this.folderOf(volumeId), { recursive: true, force: true });
    failpoint("hostpath.delete.files-gone");
    this.volumes.delete(volumeId);
  }

  [Symbol.dispose](): void {
    this.#records[Symbol.dispose]();
  }
}
