import { cString, libc, type Path } from "../libc.ts";
import { check } from "../system-call-error.ts";
import { MS, type Propagation, propagationFlags } from "./mount-flags.ts";

export interface MountOptions {
  /** A device, a folder, or a word for file systems without one; "none" unless told. */
  readonly source?: Path;
  readonly target: Path;
  /** "overlay", "tmpfs", "xfs", …; not needed with MS.BIND or MS.REMOUNT. */
  readonly type?: string;
  /** MS flags or'ed; 0 unless told. */
  readonly flags?: number;
  /** The file system's own options, "a=b,c"; at most a page (4095 bytes). */
  readonly data?: string;
}

/** mount(2). */
export function mount(options: MountOptions): void {
  const { source = "none", target, type, flags = 0, data } = options;
  check(
    type === undefined ? "mount" : `mount ${type} on`,
    target,
    libc.mount(
      cString(source),
      cString(target),
      type === undefined ? null : cString(type),
      flags,
      data === undefined ? null : cString(data),
    ),
  );
}

export interface TmpfsOptions {
  readonly sizeBytes?: number;
  /** Of the root folder; 0o755 unless told. */
  readonly mode?: number;
  /** Whose the root folder is; the caller's unless told. */
  readonly owner?: { readonly uid: number; readonly gid: number };
  /** Extra MS flags beside NOSUID and NODEV. */
  readonly flags?: number;
}

/** Mounts an empty memory file system (nosuid, nodev). */
export function mountTmpfs(target: Path, options: TmpfsOptions = {}): void {
  const size = options.sizeBytes === undefined ? "" : `,size=${options.sizeBytes}`;
  const owner = options.owner === undefined ? "" : `,uid=${options.owner.uid},gid=${options.owner.gid}`;
  mount({
    source: "tmpfs",
    target,
    type: "tmpfs",
    flags: MS.NOSUID | MS.NODEV | (options.flags ?? 0),
    data: `mode=${(options.mode ?? 0o755).toString(8)}${size}${owner}`,
  });
}

/** Changes the propagation of the mount at `target`, and with `recursive` of all mounts below it. */
export function setPropagation(target: Path, propagation: Propagation, options: { recursive?: boolean } = {}): void {
  mount({ target, flags: propagationFlags[propagation] | (options.recursive === true ? MS.REC : 0) });
}

export const makeShared = (target: Path): void => setPropagation(target, "shared");
export const makePrivate = (target: Path): void => setPropagation(target, "private");
export const makeSlave = (target: Path): void => setPropagation(target, "slave");
