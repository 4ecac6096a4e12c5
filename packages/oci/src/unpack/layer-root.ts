import { lstatSync, readlinkSync, type Stats } from "node:fs";
import { TripodError } from "@tripod/base";
import type { ByteString } from "../tar/tar-entry.ts";
import { bytesOf, printable, toByteString } from "./entry-path.ts";

/** As many symbolic links as the kernel follows in one path. */
const maxLinks = 40;

/** lstat that answers undefined when nothing is there. */
export const lstatOrNone = (path: ByteString): Stats | undefined => lstatSync(bytesOf(path), { throwIfNoEntry: false });

/**
 * Resolves names below a folder as if that folder were `/`: symbolic links, absolute ones too, stay inside. Sound only while
 * nobody else changes the folder, which is so for a snapshot that is being filled.
 */
export class LayerRoot {
  readonly root: ByteString;
  /** Folders below the root that had to be made because no member of the archive described them; relative byte strings. */
  readonly implied = new Set<string>();
  readonly #known = new Set<string>();
  readonly #make: (path: ByteString, existing: Stats | undefined) => boolean;

  /** `make` makes a folder (0755, root) where nothing, or something that is no folder, stands; false refuses. */
  constructor(dir: string, make: (path: ByteString, existing: Stats | undefined) => boolean) {
    this.root = toByteString(dir);
    this.#make = make;
  }

  /** Forgets what is known about folders; to be called when one was removed. */
  forget(): void {
    this.#known.clear();
  }

  /**
   * The real path of the folder that `components` name, made (0755, root) where missing, unless `create` is false. Where something that is
   * no folder stands in its way: a refusal, or undefined without `refuse`.
   */
  folder(
    components: readonly string[],
    { create = true, refuse = create }: { readonly create?: boolean; readonly refuse?: boolean } = {},
  ): ByteString | undefined {
    let path = this.root;
    let links = 0;
    const left = components.toReversed();
    for (let part = left.pop(); part !== undefined; part = left.pop()) {
      if (part === "..") {
        if (path !== this.root) path = path.slice(0, path.lastIndexOf("/"));
        continue;
      }
      const next = `${path}/${part}`;
      if (!this.#known.has(next)) {
        const stat = lstatOrNone(next);
        if (stat?.isSymbolicLink() === true) {
          links += 1;
          if (links > maxLinks) throw this.#refusal(components, "too many symbolic links");
          const target = readlinkSync(bytesOf(next), { encoding: "buffer" }).toString("latin1");
          if (target.startsWith("/")) path = this.root;
          left.push(
            ...target
              .split("/")
              .filter((item) => item !== "" && item !== ".")
              .toReversed(),
          );
          continue;
        }
        if (stat?.isDirectory() !== true) {
          if (!create) return undefined;
          if (!this.#make(next, stat)) {
            if (!refuse) return undefined;
            throw this.#refusal(components, "a part of the path is not a folder");
          }
          this.implied.add(this.relative(next));
        }
        this.#known.add(next);
      }
      path = next;
    }
    return path;
  }

  /** The path below the root, without a leading slash. */
  relative(path: ByteString): ByteString {
    return path.slice(this.root.length + 1);
  }

  #refusal(components: readonly string[], why: string): TripodError {
    return new TripodError(
      "invalid",
      `layer member in ${printable(components.join("/"))}: ${why}; the layer is refused`,
    );
  }
}
