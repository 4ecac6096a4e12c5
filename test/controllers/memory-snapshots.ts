import type { CreateSnapshotRequest, Snapshot } from "@tripod/api/csi";
import { TripodError } from "@tripod/base";
import type { ControllerMethods, GroupControllerMethods } from "@tripod/csi";

/** A snapshot of the memory driver. */
export interface MemorySnapshot {
  readonly id: string;
  readonly name: string;
  readonly volume: string;
  readonly groupId: string;
  readonly secrets: Readonly<Record<string, string>>;
  ready: boolean;
}

type Taken = Pick<Snapshot, "snapshotId" | "sourceVolumeId" | "sizeBytes" | "readyToUse" | "groupSnapshotId"> & {
  creationTime: { seconds: bigint; nanos: number };
};

/** The snapshots of a memory driver, of single volumes and of groups; a test may have them ready late, or its calls fail. */
export class MemorySnapshots {
  readonly snapshots = new Map<string, MemorySnapshot>();
  /** How often a new snapshot is asked after before it is ready; 0 unless told. */
  asksUntilReady = 0;
  /** Thrown by the next calls that take a snapshot, one each. */
  readonly failures: TripodError[] = [];
  /** Called when a single snapshot was taken, before the reply. */
  onTaken: (() => Promise<void>) | undefined;
  takeCalls = 0;
  readonly asks: string[] = [];
  readonly takeRequests: CreateSnapshotRequest[] = [];
  /** How the driver can be asked after a snapshot. */
  readonly reads: "get" | "list" | "no";

  constructor(reads: "get" | "list" | "no" = "get") {
    this.reads = reads;
  }

  get controller(): Pick<ControllerMethods, "createSnapshot" | "deleteSnapshot" | "getSnapshot" | "listSnapshots"> {
    return {
      createSnapshot: async (request) => {
        this.takeCalls += 1;
        this.takeRequests.push(request);
        const failure = this.failures.shift();
        if (failure !== undefined) throw failure;
        const { name, sourceVolumeId, secrets } = request;
        const snapshot = this.#take({ id: `snap-${name}`, name, volume: sourceVolumeId, groupId: "", secrets });
        await this.onTaken?.();
        return { snapshot };
      },
      deleteSnapshot: async ({ snapshotId }) => {
        this.snapshots.delete(snapshotId);
        return {};
      },
      ...(this.reads === "get"
        ? { getSnapshot: async ({ snapshotId }) => ({ snapshot: this.#ask(this.#find(snapshotId)) }) }
        : {}),
      ...(this.reads === "list"
        ? {
            listSnapshots: async ({ snapshotId }) => {
              const found = this.snapshots.get(snapshotId);
              return { entries: found === undefined ? [] : [{ snapshot: this.#ask(found) }] };
            },
          }
        : {}),
    };
  }

  get groupController(): GroupControllerMethods {
    const groupOf = (groupSnapshotId: string) => {
      const snapshots = [...this.snapshots.values()]
        .filter(({ groupId }) => groupId === groupSnapshotId)
        .map((each) => this.#ask(each));
      const readyToUse = snapshots.every((each) => each.readyToUse);
      return { groupSnapshotId, snapshots, creationTime: { seconds: 1_700_000_000n, nanos: 0 }, readyToUse };
    };
    return {
      createVolumeGroupSnapshot: async ({ name, sourceVolumeIds, secrets }) => {
        this.takeCalls += 1;
        const failure = this.failures.shift();
        if (failure !== undefined) throw failure;
        const groupId = `group-${name}`;
        for (const volume of sourceVolumeIds)
          this.#take({ id: `snap-${name}-${volume}`, name, volume, groupId, secrets });
        return { groupSnapshot: groupOf(groupId) };
      },
      deleteVolumeGroupSnapshot: async ({ groupSnapshotId, snapshotIds }) => {
        for (const id of snapshotIds)
          if (this.snapshots.get(id)?.groupId === groupSnapshotId) this.snapshots.delete(id);
        return {};
      },
      getVolumeGroupSnapshot: async ({ groupSnapshotId }) => ({ groupSnapshot: groupOf(groupSnapshotId) }),
    };
  }

  #find(id: string): MemorySnapshot {
    const found = this.snapshots.get(id);
    if (found === undefined) throw new TripodError("not-found", `no snapshot ${id}`);
    return found;
  }

  /** Taken once: asked again under the same name, it is the same. */
  #take(snapshot: Omit<MemorySnapshot, "ready">): Taken {
    const known = this.snapshots.get(snapshot.id);
    if (known !== undefined) return this.#ask(known);
    const made = { ...snapshot, ready: this.asksUntilReady === 0 };
    this.snapshots.set(made.id, made);
    return taken(made);
  }

  #ask(snapshot: MemorySnapshot): Taken {
    this.asks.push(snapshot.id);
    if (!snapshot.ready && --this.asksUntilReady <= 0) snapshot.ready = true;
    return taken(snapshot);
  }
}

const taken = ({ id, volume, groupId, ready }: MemorySnapshot): Taken => ({
  snapshotId: id,
  sourceVolumeId: volume,
  sizeBytes: 1024n ** 3n,
  readyToUse: ready,
  groupSnapshotId: groupId,
  creationTime: { seconds: 1_700_000_000n, nanos: 5 },
});
