import { TripodError } from "@tripod/base";
import type { GroupEntry, PasswdEntry } from "./account-files.ts";

/** Who a container shall run as; what is left out is taken from the image. */
export interface UserRequest {
  readonly uid?: number;
  readonly gid?: number;
  /** A user name of the image's /etc/passwd; goes before the image's own user, after `uid`. */
  readonly username?: string;
  /** `User` of the image: "", "user", "uid", "user:group", "uid:gid". */
  readonly imageUser: string;
  readonly supplementalGroups: readonly number[];
  /** "merge" adds the groups of which the image makes the user a member, "strict" does not. */
  readonly groupsPolicy: "merge" | "strict";
}

export interface ResolvedUser {
  readonly uid: number;
  readonly gid: number;
  readonly additionalGids: readonly number[];
  /** The user's folder, "/" when the image names none. */
  readonly home: string;
}

const maxId = 2 ** 31 - 1;
/** NGROUPS_MAX of the kernel. */
const maxGroups = 65_536;

function checkId(id: number, what: string): number {
  if (!Number.isInteger(id) || id < 0 || id > maxId) {
    throw new TripodError("invalid", `resolve user: ${what} ${id} is not between 0 and ${maxId}`);
  }
  return id;
}

const asId = (text: string, what: string): number | undefined =>
  /^\d+$/.test(text) ? checkId(Number(text), what) : undefined;

/** The user and groups that `request` means in an image with these accounts; a name that it lacks is an "invalid" error. */
export function resolveUser(
  request: UserRequest,
  accounts: { readonly passwd: readonly PasswdEntry[]; readonly group: readonly GroupEntry[] },
): ResolvedUser {
  if (request.supplementalGroups.length > maxGroups) {
    throw new TripodError("invalid", `resolve user: more than ${maxGroups} supplemental groups`);
  }
  const [imageUser = "", imageGroup = ""] = request.imageUser.split(":", 2);
  const wanted = request.uid !== undefined ? String(checkId(request.uid, "uid")) : request.username || imageUser || "0";
  const uid = asId(wanted, "uid");
  const entry = accounts.passwd.find((candidate) =>
    uid === undefined ? candidate.name === wanted : candidate.uid === uid,
  );
  if (uid === undefined && entry === undefined) {
    throw new TripodError(
      "invalid",
      `resolve user: the image's /etc/passwd has no user ${JSON.stringify(wanted)}; give a numeric id instead`,
    );
  }
  const fromImage = request.uid === undefined && !request.username;
  const gid =
    request.gid !== undefined
      ? checkId(request.gid, "gid")
      : fromImage && imageGroup !== ""
        ? resolveGroup(imageGroup, accounts.group)
        : (entry?.gid ?? 0);
  const memberships =
    request.groupsPolicy === "strict" || entry === undefined
      ? []
      : accounts.group.filter((group) => group.members.includes(entry.name)).map((group) => group.gid);
  const additional = [gid, ...memberships, ...request.supplementalGroups.map((id) => checkId(id, "group"))];
  return {
    uid: uid ?? entry?.uid ?? 0,
    gid,
    additionalGids: [...new Set(additional)].sort((a, b) => a - b),
    home: entry?.home || "/",
  };
}

function resolveGroup(group: string, entries: readonly GroupEntry[]): number {
  const gid = asId(group, "gid") ?? entries.find((candidate) => candidate.name === group)?.gid;
  if (gid === undefined) {
    throw new TripodError("invalid", `resolve user: the image's /etc/group has no group ${JSON.stringify(group)}`);
  }
  return gid;
}
