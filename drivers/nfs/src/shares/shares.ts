import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, rmdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { isNodeError, isTripodError, KeyedMutex, TripodError } from "@tripod/base";
import { type MountInfo, mountInfo, unmount } from "@tripod/linux";
import { Jobs } from "../jobs/jobs.ts";
import type { Share } from "../volume-id.ts";
import { checkServer } from "./check-server.ts";

/** How long a server may take to have a share mounted. */
const mountWithinMs = 20_000;
/** How long what needs a few requests may take. */
export const answerWithinMs = 15_000;

/** How long a share stays mounted for whoever comes next. */
const idleMs = 10_000;

/** A failure to reach a server says which. */
const named = ({ server, path }: Share, error: unknown): unknown =>
  isTripodError(error, "unavailable") && !error.message.includes(server)
    ? new TripodError(error.code, `NFS share ${server}:${path}: ${error.message}`, {
        cause: error,
        detail: error.detail,
      })
    : error;

/**
 * The shares that are mounted for the driver itself, each at a folder of `stateDir`: volumes are bind mounts of what is in them. They stay while any
 * volume of theirs is published, whether this process lives or not: what is there is told by the kernel alone.
 */
export class Shares implements Disposable {
  readonly jobs = new Jobs();
  readonly #dir: string;
  readonly #turns = new KeyedMutex();
  /** How many now work on what is mounted at a folder. */
  readonly #users = new Map<string, number>();

  /** Until mounts that are not used are taken away. */
  readonly #timers = new Map<string, NodeJS.Timeout>();

  constructor(stateDir: string) {
    this.#dir = join(resolve(stateDir), "shares");
    mkdirSync(this.#dir, { recursive: true, mode: 0o700 });
  }

  /** Unmounts what an earlier run had mounted for itself when it was killed. */
  async recover(): Promise<void> {
    for (const name of readdirSync(this.#dir)) await this.#release(join(this.#dir, name));
  }

  /** Calls `work` with the folder at which the share is mounted, with these options. */
  async use<T>(share: Share, options: readonly string[], work: (dir: string) => Promise<T>): Promise<T> {
    const wanted = [...new Set(options.flatMap((each) => each.split(",")))].toSorted();
    const key = createHash("sha256")
      .update(JSON.stringify([share.server, share.path, wanted]))
      .digest("hex");
    const dir = join(this.#dir, key.slice(0, 32));
    this.#users.set(dir, (this.#users.get(dir) ?? 0) + 1);
    try {
      await this.#turns.run(dir, () => this.#mount(share, wanted, dir));
      try {
        return await work(dir);
      } catch (error) {
        if (!(error instanceof TripodError) || error.detail.errno !== "ENOTCONN") throw error;
        // Who served it was killed. What was published of it stays dead; new users get a new mount.
        await this.#turns.run(dir, async () => {
          await this.jobs.run({ kind: "unmount", dir }, { withinMs: answerWithinMs });
          await this.#mount(share, wanted, dir);
        });
        return await work(dir);
      }
    } catch (error) {
      throw named(share, error);
    } finally {
      this.#users.set(dir, (this.#users.get(dir) ?? 1) - 1);
      this.#releaseLater(dir);
    }
  }

  /** After a volume was unpublished: shares that nobody needs will be unmounted. */
  sweep(): void {
    for (const { mountPoint } of this.mounted()) this.#releaseLater(mountPoint);
  }

  /** Unmounts what nobody needs now. */
  [Symbol.dispose](): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    for (const own of this.mounted()) {
      if (this.#isUsed(own)) continue;
      unmount(own.mountPoint, { detach: true, noFollow: true });
      rmdirSync(own.mountPoint);
    }
    this.jobs[Symbol.dispose]();
  }

  /** The shares' own mounts. */
  mounted(): MountInfo[] {
    return mountInfo().filter(({ mountPoint }) => mountPoint.startsWith(`${this.#dir}/`));
  }

  /** Where anything of a share of ours is mounted beside its own folder. */
  publications(): MountInfo[] {
    const devices = new Set(this.mounted().map(({ device }) => device));
    return mountInfo().filter(
      ({ device, mountPoint }) => devices.has(device) && !mountPoint.startsWith(`${this.#dir}/`),
    );
  }

  async #mount(share: Share, options: readonly string[], dir: string): Promise<void> {
    if (this.mounted().some(({ mountPoint }) => mountPoint === dir)) return;
    await checkServer(share.server, options);
    await this.jobs.run(
      { kind: "mount", server: share.server, path: share.path, options, dir, waitMs: mountWithinMs },
      { withinMs: mountWithinMs + 5000 },
    );
  }

  #isUsed(own: MountInfo): boolean {
    return this.publications().some(({ device }) => device === own.device);
  }

  #releaseLater(dir: string): void {
    clearTimeout(this.#timers.get(dir));
    const release = (): void => {
      this.#timers.delete(dir);
      this.#release(dir).catch(() => undefined); // its server does not answer: the next user, or the next start, does it
    };
    this.#timers.set(dir, setTimeout(release, idleMs).unref());
  }

  async #release(dir: string): Promise<void> {
    await this.#turns.run(dir, async () => {
      if ((this.#users.get(dir) ?? 0) > 0) return;
      this.#users.delete(dir);
      const own = this.mounted().filter(({ mountPoint }) => mountPoint === dir);
      if (own.some((each) => this.#isUsed(each))) return;
      for (const _mount of own) await this.jobs.run({ kind: "unmount", dir }, { withinMs: answerWithinMs });
      try {
        rmdirSync(dir);
      } catch (error) {
        if (!isNodeError(error, "ENOENT")) throw error;
      }
    });
  }
}
