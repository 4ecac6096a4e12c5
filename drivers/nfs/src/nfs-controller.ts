import { TripodError } from "@tripod/base";
import type { ControllerMethods } from "@tripod/csi";
import { shareOptionsOf, unsupported } from "./access.ts";
import type { Background } from "./background.ts";
import { readClassParameters } from "./class-parameters.ts";
import { folderGone, problemsOf, unreachable } from "./health.ts";
import { mayBeSame, newVolumeRecord, sourceOf, volumeOf } from "./new-volume.ts";
import { answerWithinMs, type Shares } from "./shares/shares.ts";
import { snapshotMethods } from "./snapshot-methods.ts";
import { formatVolumeId, parseVolumeId, type VolumeIdentity } from "./volume-id.ts";

const within = { withinMs: answerWithinMs };

/** Every call is answered from ids and from what lies in the share: controllers keep nothing, and any of them will do. */
export function nfsController(shares: Shares, background: Background): ControllerMethods {
  const look = (volume: VolumeIdentity, options: readonly string[] = []) =>
    shares.use(volume, options, (dir) => shares.jobs.run({ kind: "look", dir, ...keyOf(volume) }, within));

  /** The volume of that id with its record, which those of other drivers lack. */
  const known = async (volumeId: string, what: string) => {
    const identity = parseVolumeId(volumeId);
    const found = identity === undefined ? null : await look(identity);
    if (identity === undefined || found === null || found.record?.state === "making")
      throw new TripodError("not-found", `${what} ${volumeId}: there is no such volume`);
    return { identity, record: found.record };
  };

  return {
    async createVolume(request, { signal }) {
      const { name, parameters, volumeCapabilities, volumeContentSource } = request;
      const what = `create volume ${name}`;
      const { identity, mode } = readClassParameters(name, parameters);
      const why = unsupported(volumeCapabilities);
      if (why !== undefined) throw new TripodError("invalid", `${what}: ${why}`);
      const volumeId = formatVolumeId(identity);
      const options = shareOptionsOf(volumeCapabilities[0]);
      const source = sourceOf(volumeContentSource, identity, what);
      const existing = (await look(identity, options))?.record ?? undefined;
      if (existing?.state === "ready") {
        if (!mayBeSame(existing, request, source))
          throw new TripodError("already-exists", `${what}: it is there with another size or another content`);
        return { volume: volumeOf(volumeId, existing, parameters) };
      }
      return shares.use(identity, options, async (dir) => {
        const record = await newVolumeRecord({ jobs: shares.jobs, dir }, request, source);
        const job = { kind: "make", dir, ...keyOf(identity), record, ...(mode !== undefined && { mode }) } as const;
        if (source === undefined) await shares.jobs.run(job, within);
        else
          await background.run(volumeId, { what, signal }, (aborted, onProgress) =>
            // The copy is a user of its own: it may go on when this call has ended.
            shares.use(identity, options, (own) =>
              shares.jobs.run({ ...job, dir: own, source: source.job }, { signal: aborted, onProgress }),
            ),
          );
        return { volume: volumeOf(volumeId, record, parameters) };
      });
    },

    async deleteVolume({ volumeId }, { signal }) {
      const identity = parseVolumeId(volumeId);
      if (identity === undefined) return {}; // none of ours
      await background.cancel(volumeId);
      await background.run(`delete ${volumeId}`, { what: `delete volume ${volumeId}`, signal }, (aborted) =>
        shares.use(identity, [], (dir) =>
          shares.jobs.run(
            { kind: "remove", dir, ...keyOf(identity), onDelete: identity.onDelete },
            { signal: aborted },
          ),
        ),
      );
      return {};
    },

    async validateVolumeCapabilities({ volumeId, volumeCapabilities, volumeContext, parameters, mutableParameters }) {
      await known(volumeId, "look at volume");
      const message = unsupported(volumeCapabilities);
      return message === undefined
        ? { confirmed: { volumeCapabilities, volumeContext, parameters, mutableParameters } }
        : { message };
    },

    async getCapacity({ parameters, volumeCapabilities }) {
      if (unsupported(volumeCapabilities) !== undefined) return { availableCapacity: 0n };
      // Without a class there is no server to ask.
      if (Object.keys(parameters).length === 0) return { availableCapacity: 0n };
      const { identity } = readClassParameters("capacity", { ...parameters, subDir: "capacity" });
      const { availableBytes } = await shares.use(identity, shareOptionsOf(volumeCapabilities[0]), (dir) =>
        shares.jobs.run({ kind: "statistics", path: dir }, within),
      );
      return { availableCapacity: BigInt(availableBytes), maximumVolumeSize: BigInt(availableBytes) };
    },

    async controllerGetVolume({ volumeId }) {
      const { record } = await known(volumeId, "get volume");
      return { volume: volumeOf(volumeId, record ?? undefined, {}), status: {} };
    },

    async controllerExpandVolume({ volumeId, capacityRange }) {
      const { requiredBytes = 0n, limitBytes = 0n } = capacityRange ?? {};
      const { identity, record } = await known(volumeId, "expand volume");
      const size = BigInt(record?.capacityBytes ?? 0);
      const what = `expand volume ${volumeId} from ${size} to ${requiredBytes} bytes`;
      if (limitBytes !== 0n && size > limitBytes)
        throw new TripodError("out-of-range", `${what}: it is larger than the limit, and volumes do not shrink`);
      if (requiredBytes <= size) return { capacityBytes: size, nodeExpansionRequired: false };
      await shares.use(identity, [], async (dir) => {
        const { availableBytes } = await shares.jobs.run({ kind: "statistics", path: dir }, within);
        if (requiredBytes - size > BigInt(availableBytes))
          throw new TripodError("out-of-range", `${what}: the share has ${availableBytes} bytes left; ask for less`);
        const base = record ?? { name: identity.name, state: "ready" as const };
        const grown = { ...base, capacityBytes: String(requiredBytes) };
        await shares.jobs.run({ kind: "record", dir, ...keyOf(identity), record: grown }, within);
      });
      return { capacityBytes: requiredBytes, nodeExpansionRequired: false };
    },

    async controllerGetVolumeHealth({ volumeId }) {
      const identity = parseVolumeId(volumeId);
      if (identity === undefined)
        throw new TripodError("not-found", `look at volume ${volumeId}: there is no such volume`);
      const answer = (healthStatuses: ReturnType<typeof unreachable>) => ({
        volumeHealth: { volumeId, healthStatuses },
      });
      try {
        if ((await look(identity)) === null) return answer(folderGone(identity.subDir));
        return answer(
          problemsOf(
            await shares.use(identity, [], (dir) => shares.jobs.run({ kind: "statistics", path: dir }, within)),
          ),
        );
      } catch (error) {
        return answer(unreachable(error));
      }
    },

    ...snapshotMethods({ shares, background, known }),
  };
}

const keyOf = ({ subDir, name }: VolumeIdentity) => ({ subDir, name });
