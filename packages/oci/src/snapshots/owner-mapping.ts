import type { IdMapping } from "@tripod/linux";

/** The id outside of the user namespace; one that the namespace has no place for becomes its root's. */
export function hostIdOf(id: number, map: IdMapping | undefined): number {
  if (map === undefined) return id;
  const offset = id - map.containerId;
  return offset >= 0 && offset < map.length ? map.hostId + offset : map.hostId;
}

/** include/uapi/linux/capability.h: capabilities of a file, and those that hold only below one user namespace's root. */
const REVISION_MASK = 0xff000000;
const REVISION_2 = 0x02000000;
const REVISION_3 = 0x03000000;
const REVISION_2_BYTES = 20;

/** include/uapi/linux/posix_acl_xattr.h: 4 bytes of version, then 2 of tag, 2 of permissions and 4 of id each. */
const ACL_HEADER_BYTES = 4;
const ACL_ENTRY_BYTES = 8;
const ACL_USER = 2;
const ACL_GROUP = 8;

/** An extended attribute as a file has it whose owners are shifted: the ids inside of it are shifted too. */
export function mapAttribute(
  name: string,
  value: Buffer,
  owners: { readonly uids: IdMapping; readonly gids: IdMapping } | undefined,
): Buffer {
  if (owners === undefined) return value;
  if (name === "security.capability") return mapCapability(value, owners.uids);
  if (name === "system.posix_acl_access" || name === "system.posix_acl_default") return mapAcl(value, owners);
  return value;
}

function mapCapability(value: Buffer, uids: IdMapping): Buffer {
  if (value.length !== REVISION_2_BYTES) return value;
  const magic = value.readUInt32LE(0);
  // Bit operations are signed in JavaScript.
  if ((magic & REVISION_MASK) >>> 0 !== REVISION_2) return value;
  const mapped = Buffer.alloc(REVISION_2_BYTES + 4);
  value.copy(mapped);
  mapped.writeUInt32LE(((magic & ~REVISION_MASK) | REVISION_3) >>> 0, 0);
  mapped.writeUInt32LE(hostIdOf(0, uids), REVISION_2_BYTES);
  return mapped;
}

function mapAcl(value: Buffer, owners: { readonly uids: IdMapping; readonly gids: IdMapping }): Buffer {
  const mapped = Buffer.from(value);
  for (let at = ACL_HEADER_BYTES; at + ACL_ENTRY_BYTES <= mapped.length; at += ACL_ENTRY_BYTES) {
    const tag = mapped.readUInt16LE(at);
    const map = tag === ACL_USER ? owners.uids : tag === ACL_GROUP ? owners.gids : undefined;
    if (map !== undefined) mapped.writeUInt32LE(hostIdOf(mapped.readUInt32LE(at + 4), map), at + 4);
  }
  return mapped;
}
