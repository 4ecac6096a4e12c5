import { statfs } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { VolumeUsage_Unit as Unit } from "@tripod/api/csi";
import { Limiter, type Logger, messageOf, TaskOwner } from "@tripod/base";
import { namespaceOf, uidOf } from "../pods/pod-facts.ts";
import { timestampOf } from "../pods/timestamp.ts";
import { claimNameOf } from "./claim-name.ts";
import type { CsiDrivers } from "./csi-drivers.ts";
import type { CsiPublication } from "./csi-publication.ts";

/** How full one volume of a Pod is, in the form of the kubelet's stats. */
export interface VolumeStat {
  readonly time: string;
  /** Its name in the Pod. */
  readonly name: string;
  readonly pvcRef?: { readonly name: string; readonly namespace: string };
  readonly capacityBytes: number;
  readonly availableBytes: number;
  readonly usedBytes: number;
  readonly inodes: number;
  readonly inodesFree: number;
  readonly inodesUsed: number;
}

export interface VolumeStatsOptions {
  readonly drivers: CsiDrivers;
  /** The volumes that stand ready now. */
  readonly publications: () => readonly CsiPublication[];
  /** How old an answer may be before it is asked for again; a minute unless told. */
  readonly freshMs?: number;
  /** How long a driver has for one answer; 30 seconds unless told. */
  readonly callTimeoutMs?: number;
  /** How long whoever asks waits for answers that are not there yet; a second unless told. */
  readonly patienceMs?: number;
  readonly log: Logger;
}

type Numbers = Omit<VolumeStat, "time" | "name" | "pvcRef">;

interface Entry {
  stat: VolumeStat | undefined;
  askedAtMs: number;
  pending: Promise<void> | undefined;
}

/** The usage of volumes, asked for when somebody wants to know and kept for a while. A driver that hangs keeps nobody waiting. */
export class VolumeStats implements AsyncDisposable {
  readonly #options: VolumeStatsOptions;
  readonly #tasks: TaskOwner;
  readonly #entries = new Map<string, Entry>();
  /** A file system whose server is gone holds on to a thread of this process: to one, then. */
  readonly #oneAtATime = new Limiter(1);

  constructor(options: VolumeStatsOptions) {
    this.#options = options;
    this.#tasks = new TaskOwner("volume stats", options.log);
  }

  /** The newest answers, by Pod. */
  async latest(): Promise<ReadonlyMap<string, VolumeStat[]>> {
    const { publications, freshMs = 60_000, patienceMs = 1000 } = this.#options;
    const now = publications();
    const keyOf = ({ pod, volumeName }: CsiPublication): string => `${uidOf(pod)}/${volumeName}`;
    const known = new Set(now.map(keyOf));
    for (const key of this.#entries.keys()) if (!known.has(key)) this.#entries.delete(key);
    for (const publication of now) {
      const key = keyOf(publication);
      const entry = this.#entries.get(key) ?? { stat: undefined, askedAtMs: 0, pending: undefined };
      this.#entries.set(key, entry);
      if (entry.pending === undefined && entry.askedAtMs + freshMs <= Date.now()) this.#ask(publication, entry);
    }
    const pending = [...this.#entries.values()].flatMap((entry) => entry.pending ?? []);
    const patience = new AbortController();
    await Promise.race([
      Promise.all(pending),
      delay(patienceMs, undefined, { signal: patience.signal }).catch(() => undefined),
    ]);
    patience.abort();
    const byPod = new Map<string, VolumeStat[]>();
    for (const publication of now) {
      const stat = this.#entries.get(keyOf(publication))?.stat;
      const uid = uidOf(publication.pod);
      if (stat !== undefined) byPod.set(uid, [...(byPod.get(uid) ?? []), stat]);
    }
    return byPod;
  }

  #ask(publication: CsiPublication, entry: Entry): void {
    const { promise, resolve } = Promise.withResolvers<void>();
    entry.pending = promise;
    entry.askedAtMs = Date.now();
    this.#tasks.run(publication.volumeName, async (signal) => {
      try {
        const numbers = await this.#numbers(publication, signal);
        if (numbers === undefined) return;
        const { pod, volumeName } = publication;
        const volume = pod.spec?.volumes?.find(({ name }) => name === volumeName);
        const claim = volume === undefined ? undefined : claimNameOf(pod, volume);
        const pvcRef = claim === undefined ? {} : { pvcRef: { name: claim, namespace: namespaceOf(pod) } };
        entry.stat = { time: timestampOf(Date.now()), name: volumeName, ...pvcRef, ...numbers };
      } catch (error) {
        const fields = { volume: publication.volume.handle, error: messageOf(error) };
        this.#options.log.debug(fields, "the usage of a volume is not known now");
      } finally {
        entry.pending = undefined;
        resolve();
      }
    });
  }

  async #numbers(
    { volume, targetPath, stagingPath }: CsiPublication,
    signal: AbortSignal,
  ): Promise<Numbers | undefined> {
    const driver = this.#options.drivers.get(volume.driver);
    if ((await driver.capabilities(signal)).stats) {
      const { usage } = await driver.node.nodeGetVolumeStats(
        { volumeId: volume.handle, volumePath: targetPath, stagingTargetPath: stagingPath },
        { signal, timeoutMs: this.#options.callTimeoutMs ?? 30_000 },
      );
      const of = (unit: Unit) => usage.find((each) => each.unit === unit);
      const number = (value: bigint | undefined): number => Math.max(0, Number(value ?? 0n));
      const [bytes, inodes] = [of(Unit.BYTES), of(Unit.INODES)];
      return {
        capacityBytes: number(bytes?.total),
        availableBytes: number(bytes?.available),
        usedBytes: number(bytes?.used),
        inodes: number(inodes?.total),
        inodesFree: number(inodes?.available),
        inodesUsed: number(inodes?.used),
      };
    }
    if (volume.block) return undefined;
    const { bsize, blocks, bavail, bfree, files, ffree } = await this.#oneAtATime.run(() => statfs(targetPath));
    return {
      capacityBytes: blocks * bsize,
      availableBytes: bavail * bsize,
      usedBytes: (blocks - bfree) * bsize,
      inodes: files,
      inodesFree: ffree,
      inodesUsed: files - ffree,
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#tasks.stop();
  }
}
