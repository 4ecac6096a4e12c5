import { existsSync, statSync } from "node:fs";
import { chmod, chown, mkdir, rename, stat } from "node:fs/promises";
import { join } from "node:path";
import { lutimesNs } from "@tripod/linux";
import { limitedFolderIn } from "./limited-folder.ts";
import { hostIdOf } from "./owner-mapping.ts";
import type { IdMap } from "./snapshotter.ts";

/** Where a writable's own files are: in its home, or in the folder there that is limited. */
export const groundOf = (home: string): string => (existsSync(limitedFolderIn(home)) ? limitedFolderIn(home) : home);

/** The folder to which an overlay writes; undefined when the writable in `home` is none, or not that far. */
export function upperIn(home: string): string | undefined {
  const upper = join(groundOf(home), "upper");
  return statSync(upper, { throwIfNoEntry: false }) === undefined ? undefined : upper;
}

/** Makes what an overlay writes to, with the owner, mode and time of the folder `below`, which the merged root then shows. */
export async function prepareUpper(
  home: string,
  { below, idMap }: { readonly below: string; readonly idMap: IdMap | undefined },
): Promise<{ readonly upper: string; readonly work: string }> {
  const ground = groundOf(home);
  const work = join(ground, "work");
  await mkdir(work, { recursive: true, mode: 0o700 });
  const upper = upperIn(home);
  if (upper !== undefined) return { upper, work };
  const making = join(ground, "making");
  const root = await stat(below, { bigint: true });
  await mkdir(making, { recursive: true });
  await chown(making, hostIdOf(Number(root.uid), idMap?.uids), hostIdOf(Number(root.gid), idMap?.gids));
  await chmod(making, Number(root.mode & 0o7777n));
  lutimesNs(making, { modifiedAtNs: root.mtimeNs });
  await rename(making, join(ground, "upper")); // when it is as it must be
  return { upper: join(ground, "upper"), work };
}
