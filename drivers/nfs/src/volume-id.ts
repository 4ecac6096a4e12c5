import { createHash } from "node:crypto";
import { TripodError } from "@tripod/base";

export const onDeletes = ["delete", "retain", "archive"] as const;
/** What becomes of a volume's folder when the volume is deleted. */
export type OnDelete = (typeof onDeletes)[number];

/** A folder of an NFS server. */
export interface Share {
  readonly server: string;
  /** Absolute, without a slash at its end; "/" itself. */
  readonly path: string;
}

/** What is known of a volume from its id alone, so that every controller and every node agrees without asking another. */
export interface VolumeIdentity extends Share {
  /** The volume's folder in the share. */
  readonly subDir: string;
  /** The volume's name, where `subDir` was the user's own choice and may be that of several volumes. */
  readonly name: string;
  readonly onDelete: OnDelete;
}

export interface SnapshotIdentity extends Share {
  readonly name: string;
}

/** Our own folder in every share. */
export const ownFolder = ".tripod-csi";
const maxIdBytes = 128;
const serverPattern = /^[A-Za-z0-9._:[\]-]+$/;

/** The name itself, or a digest of it where an id has no room for it. */
export const shortName = (name: string, hasRoom: (name: string) => boolean): string =>
  hasRoom(name) ? name : `sha256-${createHash("sha256").update(name).digest("hex").slice(0, 32)}`;

/** "server#share#subDir#name#onDelete", the form of csi-driver-nfs: its volumes are known, too. */
export const formatVolumeId = (volume: VolumeIdentity): string => checkLength(joinVolumeId(volume));

/** Whether CSI allows the id, as long as it is. */
export const fitsVolumeId = (volume: VolumeIdentity): boolean => Buffer.byteLength(joinVolumeId(volume)) <= maxIdBytes;

const joinVolumeId = ({ server, path, subDir, name, onDelete }: VolumeIdentity): string =>
  [server, path.slice(1), subDir, name, onDelete === "delete" ? "" : onDelete].join("#");

/** Undefined for what is no id of ours. */
export function parseVolumeId(id: string): VolumeIdentity | undefined {
  const [server = "", share = "", subDir = "", name = "", onDelete = "", ...others] = id.split("#");
  if (others.length > 0 || subDir === "" || (onDelete !== "" && !isOnDelete(onDelete))) return undefined;
  const path = `/${share.replace(/^\/|\/$/g, "")}`;
  if (shareProblem(server, path) !== undefined || subDirProblem(subDir) !== undefined) return undefined;
  return {
    server,
    path,
    subDir: subDir.replace(/^\/|\/$/g, ""),
    name,
    onDelete: onDelete === "" ? "delete" : onDelete,
  };
}

/** Of a new snapshot: "server#share#name". */
export function snapshotIdentity({ server, path }: Share, name: string): SnapshotIdentity {
  const fits = (short: string): boolean =>
    Buffer.byteLength(joinSnapshotId({ server, path, name: short })) <= maxIdBytes;
  return { server, path, name: shortName(name, fits) };
}

export const formatSnapshotId = (snapshot: SnapshotIdentity): string => checkLength(joinSnapshotId(snapshot));

const joinSnapshotId = ({ server, path, name }: SnapshotIdentity): string => [server, path.slice(1), name].join("#");

export function parseSnapshotId(id: string): SnapshotIdentity | undefined {
  const [server = "", share = "", name = "", ...others] = id.split("#");
  const path = `/${share}`;
  if (others.length > 0 || name === "" || shareProblem(server, path) !== undefined) return undefined;
  return { server, path, name };
}

export const isOnDelete = (text: string): text is OnDelete => onDeletes.some((each) => each === text);

/** Why there can be no such share; undefined when there can. */
export function shareProblem(server: string, path: string): string | undefined {
  if (!serverPattern.test(server)) return `server ${JSON.stringify(server)} is no host name or address`;
  if (!path.startsWith("/")) return `share ${JSON.stringify(path)} does not begin with "/"`;
  return path === "/" ? undefined : pathProblem("share", path.slice(1));
}

export function subDirProblem(subDir: string): string | undefined {
  const plain = subDir.replace(/^\/|\/$/g, "");
  if (plain.split("/")[0] === ownFolder) return `subDir ${JSON.stringify(subDir)} is the driver's own folder`;
  return pathProblem("subDir", plain);
}

function pathProblem(what: string, path: string): string | undefined {
  const bad = path.split("/").some((name) => name === "" || name === "." || name === ".." || name.length > 255);
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  if (bad || /[#\u0000-\u001f\u007f]/.test(path))
    return `${what} ${JSON.stringify(path)} is no plain path: names between slashes, without "#", "." and ".."`;
  return undefined;
}

function checkLength(id: string): string {
  if (Buffer.byteLength(id) <= maxIdBytes) return id;
  throw new TripodError(
    "invalid",
    `the id ${id} is longer than the ${maxIdBytes} bytes that CSI allows; use a shorter subDir, share or server name`,
  );
}
