import { createReadStream } from "node:fs";
import { readFile, realpath, stat } from "node:fs/promises";
import { join } from "node:path";
import { isNodeError, TripodError } from "@tripod/base";
import type { Ingest } from "../content/ingest.ts";

const missing = (error: unknown): boolean => isNodeError(error, "ENOENT", "ENOTDIR", "ELOOP");

/** An archive's files, unpacked into a folder; its own links lead nowhere else. */
export class ArchiveFolder {
  readonly #dir: string;
  readonly #name: string;

  private constructor(dir: string, name: string) {
    this.#dir = dir;
    this.#name = name;
  }

  /** `name` is what errors call the archive. */
  static async open(dir: string, name: string): Promise<ArchiveFolder> {
    return new ArchiveFolder(await realpath(dir), name);
  }

  /** The real path of a member; undefined when there is none. A member that is no file of the archive is refused. */
  async find(member: string): Promise<string | undefined> {
    let path: string;
    try {
      path = await realpath(join(this.#dir, member));
    } catch (error) {
      if (missing(error)) return undefined;
      throw error;
    }
    if (!path.startsWith(`${this.#dir}/`) || !(await stat(path)).isFile()) {
      throw new TripodError("invalid", `${this.#name}: ${member} is not a file of the archive; it is refused`);
    }
    return path;
  }

  async #need(member: string): Promise<string> {
    const path = await this.find(member);
    if (path !== undefined) return path;
    throw new TripodError("invalid", `${this.#name}: ${member} is missing; the archive is not whole`);
  }

  /** A small member's bytes. */
  async read(member: string, limitBytes: number): Promise<Buffer> {
    const path = await this.#need(member);
    const { size } = await stat(path);
    if (size > limitBytes) throw new TripodError("invalid", `${this.#name}: ${member} of ${size} bytes is too large`);
    return readFile(path);
  }

  async sizeOf(member: string): Promise<number> {
    return (await stat(await this.#need(member))).size;
  }

  /** The member's content in pieces that do not hold up the event loop. */
  async *pieces(member: string): AsyncGenerator<Buffer> {
    // A stream without an encoding yields Buffers.
    yield* createReadStream(await this.#need(member), { highWaterMark: 256 * 1024 }) as AsyncIterable<Buffer>;
  }

  /** Copies a member whole into an ingest, and commits it. */
  async ingest(member: string, ingest: Ingest): Promise<void> {
    await ingest.reset();
    for await (const piece of this.pieces(member)) await ingest.write(piece);
    await ingest.commit();
  }
}
