import { closeSync, openSync } from "node:fs";
import { TripodError } from "@tripod/base";
import { AT_FDCWD, AT_RECURSIVE, cString, libc, type Path, SYS } from "../libc.ts";
import { namespaceExists } from "../namespaces/namespace-identity.ts";
import { check } from "../system-call-error.ts";
import { setMountAttributes } from "./mount-attributes.ts";

const OPEN_TREE_CLONE = 1;
const OPEN_TREE_CLOEXEC = 0o2000000;
const MOVE_MOUNT_F_EMPTY_PATH = 4;

export interface CloneMountOptions {
  /** With all mounts below the source; false unless told. */
  readonly recursive?: boolean;
  /** MOUNT_ATTR bits for the topmost mount. */
  readonly attributes?: number;
  /** Those bits for the mounts below it, too. */
  readonly recursiveAttributes?: boolean;
  /** Where a user namespace is pinned whose mapping the topmost mount takes: what is 0 on the disk shows as the namespace's 0. */
  readonly userNamespace?: string;
  /** Mounts made later below the source show up in the clone; never the other way round. False unless told. */
  readonly follow?: boolean;
}

/**
 * Shows `source` at `target` like bindMount(), but complete before anybody can see it, and cut off from the source: unmounting the
 * clone never unmounts anything below the source. Nothing stays when a step fails. Linux 5.12; errors of "mount_setattr" with
 * EINVAL mean that the file system cannot be id-mapped, with EPERM that the source already is.
 */
export function cloneMount(source: Path, target: Path, options: CloneMountOptions = {}): void {
  const tree = cloneTree(source, options);
  try {
    check(
      "move_mount",
      target,
      libc.syscall(
        SYS.move_mount,
        tree,
        cString(""),
        BigInt.asUintN(32, BigInt(AT_FDCWD)),
        cString(target),
        BigInt(MOVE_MOUNT_F_EMPTY_PATH),
      ),
    );
  } finally {
    closeSync(tree); // a clone that is attached nowhere goes with it
  }
}

/** The file system cannot, the kernel cannot, or what is there is id-mapped already. */
const refusals: ReadonlySet<string> = new Set(["invalid", "unimplemented", "permission-denied"]);

/** Whether mounts of what is at `source` can take a user namespace's mapping; tried, on a clone that nobody sees. */
export function canIdMap(source: Path, userNamespace: string): boolean {
  try {
    closeSync(cloneTree(source, { userNamespace }));
    return true;
  } catch (error) {
    if (error instanceof TripodError && refusals.has(error.code)) return false;
    throw error;
  }
}

function cloneTree(source: Path, options: CloneMountOptions): number {
  const { recursive = false, attributes = 0, recursiveAttributes = false, userNamespace, follow = false } = options;
  const flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT_RECURSIVE : 0);
  const tree = check(
    "open_tree",
    source,
    libc.syscall(SYS.open_tree, AT_FDCWD, cString(source), BigInt(flags), null, null),
  );
  try {
    setMountAttributes(tree, { propagation: follow ? "slave" : "private", recursive });
    if (attributes !== 0) setMountAttributes(tree, { set: attributes, recursive: recursive && recursiveAttributes });
    if (userNamespace !== undefined) idMap(tree, userNamespace);
    return tree;
  } catch (error) {
    closeSync(tree);
    throw error;
  }
}

function idMap(tree: number, userNamespace: string): void {
  if (!namespaceExists(userNamespace)) {
    throw new TripodError("not-found", `id-map a mount: no user namespace is pinned at ${userNamespace}`);
  }
  const userNamespaceFd = openSync(userNamespace, "r");
  try {
    setMountAttributes(tree, { userNamespaceFd });
  } finally {
    closeSync(userNamespaceFd);
  }
}
