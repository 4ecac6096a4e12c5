import { closeSync, existsSync, mkdirSync, openSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { failpoint } from "@tripod/base";
import { hasProjectQuotas, limitProject, projectOf, setProject, unusedProject } from "@tripod/linux";

/**
 * The projects of volumes, where the file system has project quotas: one for each, kept as that of an empty file with the volume's name in a folder of
 * their own. Unlike the volume's own folder nobody who uses the volume can give that file to another project; and a project is in use as soon as
 * it is chosen.
 */
export class VolumeProjects {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
    mkdirSync(dir, { recursive: true, mode: 0o700 });
  }

  /** The volumes that have one. */
  names(): string[] {
    return readdirSync(this.#dir);
  }

  /** The project of a volume, chosen when it has none yet, without a limit; undefined where there are no quotas, or all are of one project. */
  choose(storageId: string): number | undefined {
    if (!hasProjectQuotas(this.#dir) || projectOf(this.#dir).handsDown) return undefined;
    const known = this.#projectOf(storageId);
    if (known !== undefined) {
      limitProject(this.#dir, known, 0n);
      return known;
    }
    const file = join(this.#dir, storageId);
    closeSync(openSync(file, "a", 0o600));
    const id = unusedProject(this.#dir);
    setProject(file, { id, handsDown: false });
    return id;
  }

  /** Keeps a volume that has a project within so many bytes, where the file system counts now. */
  limit(storageId: string, bytes: bigint): void {
    const id = this.#projectOf(storageId);
    if (id !== undefined && hasProjectQuotas(this.#dir)) limitProject(this.#dir, id, bytes);
  }

  /** Lets the project of a volume that is gone be another's. */
  release(storageId: string): void {
    this.limit(storageId, 0n);
    failpoint("hostpath.delete.unlimited");
    rmSync(join(this.#dir, storageId), { force: true });
  }

  #projectOf(storageId: string): number | undefined {
    const file = join(this.#dir, storageId);
    if (!existsSync(file)) return undefined;
    const { id } = projectOf(file);
    // Somebody may have given the whole state folder to one project since.
    return id === 0 || id === projectOf(this.#dir).id ? undefined : id;
  }
}
