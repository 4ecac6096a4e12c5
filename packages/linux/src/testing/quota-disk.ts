import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, truncateSync, writeFileSync } from "node:fs";
import { withLoop } from "../loop-devices.ts";
import { mount } from "../mounts/mount.ts";
import { unmount } from "../mounts/unmount.ts";
import { TemporaryFolder } from "./temporary-folder.ts";

const makers = {
  ext4: ["mkfs.ext4", "-q", "-O", "quota,project", "-E", "quotatype=prjquota"],
  xfs: ["mkfs.xfs", "-q"],
} as const;

/** The file systems that have project quotas. */
export const quotaFileSystems = ["ext4", "xfs"] as const;

/** A folder on a file system of its own that keeps project quotas, of 2 GiB that are not written; gone when disposed of. */
export class QuotaDisk implements Disposable {
  readonly path: string;
  readonly #type: keyof typeof makers;
  readonly #folder = new TemporaryFolder("quota-disk");
  readonly #image = this.#folder.join("disk");

  constructor(type: keyof typeof makers) {
    this.path = this.#folder.join("mounted");
    this.#type = type;
    try {
      mkdirSync(this.path);
      writeFileSync(this.#image, "");
      truncateSync(this.#image, 2 * 1024 ** 3);
      const [program, ...options] = makers[type];
      execFileSync(program, [...options, this.#image], { stdio: ["ignore", "ignore", "pipe"] });
      this.#mount("prjquota");
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** Mounts it anew, with these options in place of "prjquota". Nobody may use it meanwhile. */
  remount(data: string): void {
    unmount(this.path);
    this.#mount(data);
  }

  /** Why there can be none here, found by trying; undefined when there can. */
  static missing(type: keyof typeof makers): string | undefined {
    try {
      new QuotaDisk(type)[Symbol.dispose]();
      return undefined;
    } catch (error) {
      return `no ${type} with project quotas here: ${error instanceof Error ? error.message : String(error)}`;
    }
  }

  #mount(data: string): void {
    withLoop(this.#image, (source) => mount({ source, target: this.path, type: this.#type, data }));
  }

  [Symbol.dispose](): void {
    this.#folder[Symbol.dispose]();
  }
}

/**
 * Writes a new file of so many bytes as a container would, without CAP_SYS_RESOURCE, which lets its holder exceed quotas; needs setpriv of
 * util-linux. Undefined, or the words in which it was refused.
 */
export function writeAsContainer(path: string, bytes: number): string | undefined {
  const write = ["dd", "if=/dev/zero", `of=${path}`, "bs=64K", `count=${bytes}`, "iflag=count_bytes", "conv=fsync"];
  const { status, stderr, error } = spawnSync("setpriv", ["--bounding-set=-sys_resource", ...write], {
    env: { ...process.env, LC_ALL: "C" },
    encoding: "utf8",
  });
  if (error !== undefined) throw error;
  return status === 0 ? undefined : stderr;
}
