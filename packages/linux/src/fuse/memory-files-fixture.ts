import { constants } from "node:fs";
import { type FuseAttributes, type FuseEntry, FuseError, type FuseFileSystem } from "./fuse-file-system.ts";

/** A file of a MemoryFiles. */
export interface MemoryFile {
  /** Type and permission bits; a plain file of 0644 unless told. */
  readonly mode?: number;
  readonly content?: Uint8Array;
  readonly target?: string;
  readonly uid?: number;
  readonly xattrs?: Readonly<Record<string, string>>;
  /** Instead of the content. */
  readonly read?: (signal: AbortSignal) => Promise<Uint8Array>;
}

/** A file system of files in memory, by their paths "folder/file", for tests. Folders are described too. */
export class MemoryFiles implements FuseFileSystem {
  readonly totals: { readonly bytes: number; readonly files: number };
  /** How often read() was called. */
  reads = 0;
  readonly #paths: readonly string[];
  readonly #files: ReadonlyMap<string, MemoryFile>;

  constructor(files: Readonly<Record<string, MemoryFile>>) {
    this.#files = new Map([["", { mode: constants.S_IFDIR | 0o755 }], ...Object.entries(files)]);
    this.#paths = [...this.#files.keys()];
    this.totals = { bytes: 123 * 4096, files: this.#paths.length };
  }

  #file(ino: number): MemoryFile {
    return this.#files.get(this.#paths[ino - 1] ?? "") ?? {};
  }

  attributes(ino: number): FuseAttributes | undefined {
    const { mode = constants.S_IFREG | 0o644, content, target = "", uid = 0 } = this.#file(ino);
    return {
      ino,
      mode,
      nlink: 1,
      uid,
      gid: uid,
      rdev: 0,
      sizeBytes: content?.byteLength ?? target.length,
      mtimeNs: 1_600_000_000_123_456_789n,
    };
  }

  lookup(folder: number, name: Uint8Array): FuseAttributes | undefined {
    const above = this.#paths[folder - 1] ?? "";
    const text = Buffer.from(name).toString();
    const index = this.#paths.indexOf(above === "" ? text : `${above}/${text}`);
    return index < 0 ? undefined : this.attributes(index + 1);
  }

  entries(folder: number): readonly FuseEntry[] {
    const above = this.#paths[folder - 1] ?? "";
    const start = above === "" ? "" : `${above}/`;
    return this.#paths.flatMap((path, index) => {
      const name = path.slice(start.length);
      return path.startsWith(start) && name !== "" && !name.includes("/")
        ? [{ name: Buffer.from(name), ino: index + 1 }]
        : [];
    });
  }

  target(ino: number): Uint8Array | undefined {
    const { target } = this.#file(ino);
    return target === undefined ? undefined : Buffer.from(target);
  }

  xattrs(ino: number): ReadonlyMap<string, Uint8Array> {
    return new Map(Object.entries(this.#file(ino).xattrs ?? {}).map(([name, value]) => [name, Buffer.from(value)]));
  }

  async read(
    ino: number,
    { offset, length }: { readonly offset: number; readonly length: number },
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    this.reads += 1;
    const { read, content } = this.#file(ino);
    const bytes = read === undefined ? content : await read(signal);
    if (bytes === undefined) throw new FuseError("EISDIR");
    return bytes.subarray(offset, offset + length);
  }
}
