import { readFileSync } from "node:fs";
import { TripodError } from "@tripod/base";

/** One line of /proc/PID/mountinfo (proc_pid_mountinfo(5)). */
export interface MountInfo {
  readonly id: number;
  readonly parentId: number;
  /** "major:minor" of the file system. */
  readonly device: string;
  /** Which folder of the file system is shown. */
  readonly root: string;
  readonly mountPoint: string;
  /** Options of this mount: "rw", "nosuid", … */
  readonly options: readonly string[];
  /** "shared:12", "master:3", …; empty for a private mount. */
  readonly propagation: readonly string[];
  readonly type: string;
  readonly source: string;
  /** Options of the file system: "lowerdir=…". */
  readonly superOptions: readonly string[];
}

/** The kernel writes space, tab, newline, backslash and # as octal escapes; other bytes stay. */
const unescape = (field: string): string =>
  field.includes("\\")
    ? field.replace(/\\([0-7]{3})/g, (_match, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))
    : field;

/** Parses the text of a mountinfo file; a line of another shape is a "corrupt" error. */
export function parseMountInfo(text: string): MountInfo[] {
  const mounts: MountInfo[] = [];
  for (const line of text.split("\n")) {
    if (line !== "") mounts.push(parseLine(line));
  }
  return mounts;
}

function parseLine(line: string): MountInfo {
  const separator = line.indexOf(" - ");
  const [id, parentId, device, root, mountPoint, options, ...propagation] = line.slice(0, separator).split(" ");
  // The source may be empty (two spaces), so the tail is split as strictly as the head.
  const [type, source, superOptions] = line.slice(separator + 3).split(" ");
  if (separator < 0 || options === undefined || type === undefined || source === undefined) {
    throw new TripodError("corrupt", `mountinfo: unexpected line ${JSON.stringify(line.slice(0, 200))}`);
  }
  return {
    id: Number(id),
    parentId: Number(parentId),
    device: device ?? "",
    root: unescape(root ?? ""),
    mountPoint: unescape(mountPoint ?? ""),
    options: options.split(","),
    propagation,
    type,
    source: unescape(source),
    superOptions: (superOptions ?? "").split(",").map(unescape),
  };
}

/** The mounts that this process sees, parents before children; `pid` asks for another process's. */
export const mountInfo = (pid?: number): MountInfo[] =>
  parseMountInfo(readFileSync(`/proc/${pid ?? "self"}/mountinfo`, "utf8"));
