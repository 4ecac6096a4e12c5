/**
 * A byte string: each character is one byte (latin1). Names in archives are bytes, not text; kept like this they survive whatever
 * their encoding is. `Buffer.from(name, "latin1")` gives the bytes.
 */
export type ByteString = string;

export type TarEntryType = "file" | "link" | "symlink" | "char" | "block" | "directory" | "fifo";

/** One member of a tar archive, after PAX and GNU extensions have been applied. */
export interface TarEntry {
  readonly name: ByteString;
  readonly type: TarEntryType;
  /** Target of a hard link or symbolic link; else "". */
  readonly linkName: ByteString;
  /** Permission bits with setuid, setgid and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of the file when it is unpacked (of a sparse file: with its holes). */
  readonly size: number;
  /** Seconds since 1970, with a fraction. */
  readonly mtime: number;
  /** The same in nanoseconds since 1970, where it has a fraction that a number cannot hold. */
  readonly mtimeNs?: bigint;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  /** Extended attributes by full name ("security.capability"). */
  readonly xattrs: ReadonlyMap<string, Buffer>;
}

/** Receives an archive, member by member. Each call returns before the next is made. */
export interface TarSink {
  entry(entry: TarEntry): void;
  /** A piece of the current file's content, which belongs at `offset`; what is never written is a hole. */
  data(piece: Buffer, offset: number): void;
  /** The current member is complete. */
  end(): void;
}
