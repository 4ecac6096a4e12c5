import { KeyedMutex, TripodError } from "@tripod/base";

/** The fields that say what a call is about. */
interface Subject {
  readonly name?: string;
  readonly volumeId?: string;
  readonly snapshotId?: string;
  readonly groupSnapshotId?: string;
  readonly nodeId?: string;
  readonly targetPath?: string;
  readonly stagingTargetPath?: string;
}

/** Calls that change nothing and may run at any time. */
const readsOnly = new Set([
  "validateVolumeCapabilities",
  "listVolumes",
  "getCapacity",
  "listSnapshots",
  "getSnapshot",
  "getVolumeGroupSnapshot",
  "controllerGetVolume",
  "controllerGetVolumeHealth",
  "controllerListVolumeHealth",
  "nodeGetVolumeStats",
  "nodeGetVolumeHealth",
  "nodeGetStorageHealth",
  "nodeGetInfo",
]);

/**
 * Lets the calls that change one volume run one after another. A call about exactly what a pending one is about (the same volume and the same
 * path or node) is "aborted", as the specification asks of a caller that lost count; others wait for their turn, so that two Pods
 * which mount one volume at a time need no retry.
 */
export class VolumeTurns {
  readonly #mutex = new KeyedMutex();
  readonly #pending = new Set<string>();

  async run<T>(method: string, request: object, work: () => Promise<T>): Promise<T> {
    if (readsOnly.has(method)) return work();
    const { name, volumeId, snapshotId, groupSnapshotId, nodeId, targetPath, stagingTargetPath } = request as Subject; // a generated message
    // Only a request to create has a name; what it creates has no id before.
    const volume = volumeId ?? snapshotId ?? groupSnapshotId ?? `name ${name ?? ""}`;
    const place = targetPath ?? stagingTargetPath ?? nodeId ?? "";
    const subject = JSON.stringify([volume, place]);
    if (this.#pending.has(subject))
      throw new TripodError("aborted", `${method} ${volume}: another call for it is pending; try again`);
    this.#pending.add(subject);
    try {
      return await this.#mutex.run(volume, work);
    } finally {
      this.#pending.delete(subject);
    }
  }
}
