import { join } from "node:path";
import type { CgroupHierarchies } from "./hierarchies.ts";

/** Where `path` is in the hierarchy that holds the controller; undefined when there is none on version 1. */
export function controllerFolder(
  hierarchies: CgroupHierarchies,
  of: { readonly controller: string; readonly path: string },
): string | undefined {
  const mount = hierarchies.version === "v2" ? hierarchies.unified : hierarchies.v1.get(of.controller);
  return mount === undefined ? undefined : join(mount, of.path);
}
