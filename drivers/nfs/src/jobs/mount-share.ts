import { lookup } from "node:dns/promises";
import { existsSync, mkdirSync } from "node:fs";
import { messageOf, runCommand, TripodError } from "@tripod/base";
import { isErrno, mount, MS, parseMountOptions } from "@tripod/linux";
import { startShareServer } from "../client/start-share-server.ts";
import { errnoOf } from "./errno-of.ts";
import type { Job } from "./job.ts";
import { kernelHasNfs } from "./kernel-nfs.ts";

type MountJob = Extract<Job, { readonly kind: "mount" }>;

const helper = "/sbin/mount.nfs";
const kernelVersions = ["4.2", "4.1", "4.0"];
const defaultPort = 2049;

/** Mounts a share at `dir`: by the kernel where it is an NFS client, else by a process of ours. */
export async function mountShare(job: MountJob): Promise<void> {
  const { server, path, options, dir } = job;
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const { flags, data } = parseMountOptions(options);
  const own = new Map(
    data
      .split(",")
      .filter((option) => option !== "")
      .map((option): [string, string] => {
        const [name = "", ...value] = option.split("=");
        return [name, value.join("=")];
      }),
  );
  const words = { job, flags: flags | MS.NOSUID | MS.NODEV, options: own, source: `${server}:${path}` };
  if (!(await kernelHasNfs())) await mountByProcess(words);
  else if (versionOf(words)?.startsWith("3") === true) await mountByHelper(words);
  else await mountByKernel(words);
}

interface MountWords {
  readonly job: MountJob;
  readonly flags: number;
  /** The file system's own, as nfs(5) has them. */
  readonly options: ReadonlyMap<string, string>;
  readonly source: string;
}

const versionOf = ({ options }: MountWords): string | undefined => {
  const version = options.get("nfsvers") ?? options.get("vers");
  const minor = options.get("minorversion");
  return version === "4" && minor !== undefined ? `4.${minor}` : version;
};

/** NFS 3 has servers of its own for mounts and locks, which nfs-common's helper sees to. */
async function mountByHelper({ job, source }: MountWords): Promise<void> {
  if (!existsSync(helper))
    throw new TripodError(
      "failed-precondition",
      `mount ${source}: NFS 3 needs ${helper}; apt-get install nfs-common, or say nfsvers=4.1`,
    );
  const options = [...job.options, "nosuid", "nodev"].join(",");
  try {
    await runCommand(helper, [source, job.dir, "-o", options], {
      timeoutMs: job.waitMs,
      env: { ...process.env, LC_ALL: "C" },
    });
  } catch (cause) {
    const message = messageOf(cause);
    const code = /access denied|not permitted/.test(message)
      ? "permission-denied"
      : /No such file/.test(message)
        ? "not-found"
        : "unavailable";
    throw new TripodError(code, `mount ${source}: ${message}`, { cause });
  }
}

/** NFS 4, of the newest version that the server has. */
async function mountByKernel(words: MountWords): Promise<void> {
  const { job, flags, options, source } = words;
  const asked = versionOf(words);
  const { address } = await lookup(job.server.replace(/^\[|\]$/g, ""));
  const others = [...options].filter(([name]) => !["nfsvers", "vers", "minorversion"].includes(name));
  const versions = asked === undefined || asked === "4" ? kernelVersions : [asked];
  for (const [index, version] of versions.entries()) {
    const data = [["vers", version], ["addr", address], ["clientaddr", "0.0.0.0"], ...others]
      .map(([name, value]) => (value === "" ? name : `${name}=${value}`))
      .join(",");
    try {
      mount({ source, target: job.dir, type: "nfs", flags, data });
      return;
    } catch (cause) {
      const last = index + 1 === versions.length;
      if (!last && isErrno(cause, "EPROTONOSUPPORT", "EINVAL", "EOPNOTSUPP")) continue;
      throw refused(source, cause);
    }
  }
}

function refused(source: string, cause: unknown): TripodError {
  const code = isErrno(cause, "ENOENT")
    ? "not-found"
    : isErrno(cause, "EACCES", "EPERM")
      ? "permission-denied"
      : "unavailable";
  return new TripodError(
    code,
    `mount ${source}: ${errnoOf(cause) ?? messageOf(cause)}; is it exported to this machine?`,
    { cause },
  );
}

async function mountByProcess(words: MountWords): Promise<void> {
  const { job, flags, options, source } = words;
  const version = versionOf(words);
  if (version !== undefined && !["4", "4.1", "4.2"].includes(version))
    throw new TripodError(
      "failed-precondition",
      `mount ${source}: this kernel has no NFS client, and Tripod's own speaks version 4.1 alone; leave out nfsvers=${version}, or load the module nfs`,
    );
  const number = (name: string, unset: number): number => Number(options.get(name) ?? unset);
  // nfs(5): a soft mount gives up after so many repetitions, each after tenths of seconds.
  const soft = options.has("soft") || options.has("softerr");
  const patienceMs = number("timeo", 600) * 100 * (number("retrans", 2) + 1);
  await startShareServer({
    host: job.server.replace(/^\[|\]$/g, ""),
    port: number("port", defaultPort),
    path: job.path,
    ...(soft && { patienceMs }),
    firstPatienceMs: job.waitMs,
    target: job.dir,
    source,
    flags,
  });
}
