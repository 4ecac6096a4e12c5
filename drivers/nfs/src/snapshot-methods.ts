import { TripodError } from "@tripod/base";
import type { ControllerMethods } from "@tripod/csi";
import type { Background } from "./background.ts";
import type { SnapshotRecord } from "./jobs/job.ts";
import type { VolumeRecord } from "./jobs/share-records.ts";
import { answerWithinMs, type Shares } from "./shares/shares.ts";
import { formatSnapshotId, parseSnapshotId, snapshotIdentity, type VolumeIdentity } from "./volume-id.ts";

export interface SnapshotContext {
  readonly shares: Shares;
  readonly background: Background;
  readonly known: (
    volumeId: string,
    what: string,
  ) => Promise<{ readonly identity: VolumeIdentity; readonly record: VolumeRecord | null }>;
}

/** Snapshots are copies, in our own folder of the volume's share. */
export function snapshotMethods({
  shares,
  background,
  known,
}: SnapshotContext): Pick<ControllerMethods, "createSnapshot" | "deleteSnapshot" | "getSnapshot"> {
  const within = { withinMs: answerWithinMs };
  return {
    async createSnapshot({ name: wanted, sourceVolumeId, parameters }, { signal }) {
      const what = `take snapshot ${wanted}`;
      const unknown = Object.keys(parameters).find((key) => !key.startsWith("csi.storage.k8s.io/"));
      if (unknown !== undefined)
        throw new TripodError("invalid", `${what}: parameter ${unknown} is unknown; the class needs none`);
      const { identity, record: volume } = await known(sourceVolumeId, `${what} of volume`);
      const { name, ...share } = snapshotIdentity(identity, wanted);
      const snapshotId = formatSnapshotId({ name, ...share });
      return shares.use(identity, [], async (dir) => {
        const existing = await shares.jobs.run({ kind: "look-at-snapshot", dir, name }, within);
        if (existing !== null && existing.sourceVolumeId !== sourceVolumeId)
          throw new TripodError("already-exists", `${what}: it is of volume ${existing.sourceVolumeId}`);
        if (existing !== null) return { snapshot: snapshotOf(snapshotId, existing) };
        const record = {
          sourceVolumeId,
          sizeBytes: volume?.capacityBytes ?? "0",
          createdAt: new Date().toISOString(),
        };
        await background.run(snapshotId, { what, signal }, (aborted, onProgress) =>
          shares.use(identity, [], (own) =>
            shares.jobs.run(
              { kind: "snapshot", dir: own, name, subDir: identity.subDir, record },
              { signal: aborted, onProgress },
            ),
          ),
        );
        // Another call may have begun it, at another time.
        const taken = await shares.jobs.run({ kind: "look-at-snapshot", dir, name }, within);
        return { snapshot: snapshotOf(snapshotId, taken ?? record) };
      });
    },

    async deleteSnapshot({ snapshotId }, { signal }) {
      const identity = parseSnapshotId(snapshotId);
      if (identity === undefined) return {}; // none of ours
      await background.cancel(snapshotId);
      await background.run(`delete ${snapshotId}`, { what: `delete snapshot ${snapshotId}`, signal }, (aborted) =>
        shares.use(identity, [], (dir) =>
          shares.jobs.run({ kind: "remove-snapshot", dir, name: identity.name }, { signal: aborted }),
        ),
      );
      return {};
    },

    async getSnapshot({ snapshotId }) {
      const identity = parseSnapshotId(snapshotId);
      const found =
        identity === undefined
          ? null
          : await shares.use(identity, [], (dir) =>
              shares.jobs.run({ kind: "look-at-snapshot", dir, name: identity.name }, within),
            );
      if (found === null) throw new TripodError("not-found", `get snapshot ${snapshotId}: there is no such snapshot`);
      return { snapshot: snapshotOf(snapshotId, found) };
    },
  };
}

function snapshotOf(snapshotId: string, { sourceVolumeId, sizeBytes, createdAt }: SnapshotRecord) {
  const milliseconds = BigInt(Date.parse(createdAt));
  return {
    snapshotId,
    sourceVolumeId,
    sizeBytes: BigInt(sizeBytes),
    creationTime: { seconds: milliseconds / 1000n, nanos: Number(milliseconds % 1000n) * 1_000_000 },
    readyToUse: true,
  };
}
