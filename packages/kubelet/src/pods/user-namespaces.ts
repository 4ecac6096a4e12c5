import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { NamespaceMode } from "@tripod/api/cri";
import type { Pod } from "@tripod/api/kubernetes";
import { failpoint, isNodeError, type Logger, messageOf, TripodError, writeFileAtomic } from "@tripod/base";
import { entriesOf } from "../volumes/folder-entries.ts";
import { podPaths, podsDirOf } from "../volumes/pod-paths.ts";
import { uidOf } from "./pod-facts.ts";

/** Each Pod gets this many users and groups; the first as many are the host's own. */
const rangeLength = 65_536;
/** Host ids are 32 bits, and the last one means "none". */
const endOfIds = 2 ** 32 - 1;

/** The host's first id in a file that of() has written; its form is upstream's. */
function parseFile(text: string): number {
  const hostId: unknown = JSON.parse(text)?.uidMappings?.[0]?.hostId;
  const isOurs = typeof hostId === "number" && hostId >= rangeLength && hostId % rangeLength === 0 && hostId < endOfIds;
  if (!isOurs) throw new TripodError("corrupt", `no range of ${rangeLength} ids: ${text.slice(0, 200)}`);
  return hostId;
}

/** The users and groups of a Pod that has its own, as CRI's IDMapping: those from 0 on in it are these on the host. */
export interface IdRange {
  readonly containerId: number;
  readonly hostId: number;
  readonly length: number;
}

/** CRI's words for the Pod's user namespace; none for the host's. */
export const usernsOptionsOf = (range: IdRange | undefined) =>
  range === undefined ? {} : { usernsOptions: { mode: NamespaceMode.POD, uids: [range], gids: [range] } };

/** CRI's words for a mount whose owners are to be seen as the Pod's. */
export const mappingsOf = (range: IdRange | undefined) =>
  range === undefined ? {} : { uidMappings: [range], gidMappings: [range] };

/**
 * Gives each Pod with `hostUsers: false` ids of the host that no other Pod has. On record, in the Pod's folder (`userns`), before anything
 * uses them; a range is free again when the Pod's processes are gone.
 */
export class UserNamespaces {
  readonly #kubeletDir: string;
  readonly #log: Logger;
  /** Host ids by the Pods' uids. */
  readonly #taken = new Map<string, number>();
  readonly #recorded = new Set<string>();

  constructor(kubeletDir: string, log: Logger) {
    this.#kubeletDir = kubeletDir;
    this.#log = log;
  }

  #fileOf(uid: string): string {
    return join(podPaths(this.#kubeletDir, uid).dir, "userns");
  }

  /** Finds what an earlier kubelet has given, before anything is given anew. */
  async recover(): Promise<void> {
    for (const uid of await entriesOf(podsDirOf(this.#kubeletDir))) {
      const file = this.#fileOf(uid);
      try {
        this.#taken.set(uid, parseFile(await readFile(file, "utf8")));
        this.#recorded.add(uid);
      } catch (error) {
        if (isNodeError(error, "ENOENT")) continue; // a Pod of the host's users
        this.#log.error({ file, error: messageOf(error) }, "which ids a pod has is not known; it gets others");
      }
    }
  }

  /** The Pod's ids, the same for all its life; undefined for one that uses the host's. */
  async of(pod: Pod): Promise<IdRange | undefined> {
    if (pod.spec?.hostUsers !== false) return undefined;
    const uid = uidOf(pod);
    const hostId = this.#taken.get(uid) ?? this.#take(uid);
    const range = { containerId: 0, hostId, length: rangeLength };
    if (!this.#recorded.has(uid)) {
      const file = this.#fileOf(uid);
      await mkdir(podPaths(this.#kubeletDir, uid).dir, { recursive: true, mode: 0o750 });
      await writeFileAtomic(file, JSON.stringify({ uidMappings: [range], gidMappings: [range] }));
      this.#recorded.add(uid);
      failpoint("kubelet.userns.recorded");
    }
    return range;
  }

  #take(uid: string): number {
    const others = new Set(this.#taken.values());
    let hostId = rangeLength;
    while (others.has(hostId)) hostId += rangeLength;
    if (hostId + rangeLength > endOfIds) {
      throw new TripodError("exhausted", `user namespace of pod ${uid}: all ids are given to other pods; remove some`);
    }
    this.#taken.set(uid, hostId);
    return hostId;
  }

  /** The Pod's processes and folder are gone. */
  release(uid: string): void {
    this.#taken.delete(uid);
    this.#recorded.delete(uid);
  }
}
