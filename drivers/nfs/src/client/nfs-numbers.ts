import type { constants } from "node:os";

// Numbers of NFS version 4.1 (RFC 8881, and its XDR description RFC 5662).

export const NFS_PROGRAM = 100003;
export const NFS_VERSION = 4;
export const MINOR_VERSION = 1;

export const OP = {
  ACCESS: 3,
  CLOSE: 4,
  CREATE: 6,
  GETATTR: 9,
  GETFH: 10,
  LINK: 11,
  LOOKUP: 15,
  OPEN: 18,
  PUTFH: 22,
  PUTROOTFH: 24,
  READ: 25,
  READDIR: 26,
  READLINK: 27,
  REMOVE: 28,
  RENAME: 29,
  SAVEFH: 32,
  SETATTR: 34,
  WRITE: 38,
  EXCHANGE_ID: 42,
  CREATE_SESSION: 43,
  DESTROY_SESSION: 44,
  SEQUENCE: 53,
  DESTROY_CLIENTID: 57,
  RECLAIM_COMPLETE: 58,
} as const;

/** Operations that are to be done once however often they are sent. */
export const CHANGING: ReadonlySet<number> = new Set([
  OP.CREATE,
  OP.LINK,
  OP.OPEN,
  OP.REMOVE,
  OP.RENAME,
  OP.SETATTR,
  OP.WRITE,
]);

export const STATUS = {
  OK: 0,
  DELAY: 10008,
  GRACE: 10013,
  STALE_CLIENTID: 10022,
  BADSESSION: 10052,
  BADSLOT: 10053,
  COMPLETE_ALREADY: 10054,
  CONN_NOT_BOUND_TO_SESSION: 10055,
  SEQ_MISORDERED: 10063,
  DEADSESSION: 10078,
} as const;

/** The session, or the server's memory of it, is gone: a new one is made and the call made again. */
export const SESSION_GONE: ReadonlySet<number> = new Set([
  STATUS.STALE_CLIENTID,
  STATUS.BADSESSION,
  STATUS.BADSLOT,
  STATUS.CONN_NOT_BOUND_TO_SESSION,
  STATUS.SEQ_MISORDERED,
  STATUS.DEADSESSION,
]);

/** What callers of the kernel are told; any other status is EIO. */
export const ERRNO: ReadonlyMap<number, keyof typeof constants.errno> = new Map([
  [1, "EPERM"],
  [2, "ENOENT"],
  [5, "EIO"],
  [6, "ENXIO"],
  [13, "EACCES"],
  [17, "EEXIST"],
  [18, "EXDEV"],
  [20, "ENOTDIR"],
  [21, "EISDIR"],
  [22, "EINVAL"],
  [27, "EFBIG"],
  [28, "ENOSPC"],
  [30, "EROFS"],
  [31, "EMLINK"],
  [63, "ENAMETOOLONG"],
  [66, "ENOTEMPTY"],
  [69, "EDQUOT"],
  [70, "ESTALE"],
  [10001, "ESTALE"],
  [10004, "EOPNOTSUPP"],
  [10007, "EOPNOTSUPP"],
  [10012, "EAGAIN"],
  [10014, "ESTALE"],
  [10015, "EACCES"],
  [10016, "EACCES"],
  [10029, "ELOOP"],
  [10030, "EOPNOTSUPP"],
  [10032, "EOPNOTSUPP"],
  [10039, "EINVAL"],
  [10040, "EINVAL"],
  [10041, "EINVAL"],
  [10046, "EBUSY"],
]);

/** Attributes of files, by the bit that asks for each. */
export const ATTRIBUTE = {
  TYPE: 1,
  SIZE: 4,
  FILEID: 20,
  FILES_AVAIL: 21,
  FILES_FREE: 22,
  FILES_TOTAL: 23,
  MODE: 33,
  NUMLINKS: 35,
  OWNER: 36,
  OWNER_GROUP: 37,
  RAWDEV: 41,
  SPACE_AVAIL: 42,
  SPACE_FREE: 43,
  SPACE_TOTAL: 44,
  SPACE_USED: 45,
  TIME_ACCESS: 47,
  TIME_ACCESS_SET: 48,
  TIME_METADATA: 52,
  TIME_MODIFY: 53,
  TIME_MODIFY_SET: 54,
} as const;

/** Kinds of files (nfs_ftype4). */
export const FILE_TYPE = { REGULAR: 1, FOLDER: 2, BLOCK: 3, CHARACTER: 4, LINK: 5, SOCKET: 6, FIFO: 7 } as const;
