import { cString, libc, type Path } from "../libc.ts";
import { check, isErrno } from "../system-call-error.ts";

const XATTR_CREATE = 1;
const XATTR_REPLACE = 2;
/** The kernel's limits of a value and of a list of names. */
const MAX_BYTES = 65536;

/** The value of an extended attribute of `path` itself (links are not followed); undefined when it has none of that name. */
export function lgetxattr(path: Path, name: string): Buffer | undefined {
  try {
    return grown(256, (buffer) =>
      check("lgetxattr", path, libc.lgetxattr(cString(path), cString(name), buffer, buffer.length)),
    );
  } catch (error) {
    if (isErrno(error, "ENODATA")) return undefined;
    throw error;
  }
}

/** Sets an extended attribute of `path` itself. `mode`: fail when it is there ("create") or is not there ("replace"). */
export function lsetxattr(
  path: Path,
  name: string,
  options: { readonly value: Uint8Array; readonly mode?: "create" | "replace" },
): void {
  const flags = options.mode === "create" ? XATTR_CREATE : options.mode === "replace" ? XATTR_REPLACE : 0;
  // An empty array has no memory to point at.
  const value = options.value.length === 0 ? Buffer.alloc(1) : options.value;
  check(`lsetxattr ${name} of`, path, libc.lsetxattr(cString(path), cString(name), value, options.value.length, flags));
}

/** The names of the extended attributes of `path` itself. */
export function llistxattr(path: Path): string[] {
  const list = grown(1024, (buffer) =>
    check("llistxattr", path, libc.llistxattr(cString(path), buffer, buffer.length)),
  );
  return list.toString().split("\0").slice(0, -1);
}

/** Takes an extended attribute away: true when it was there. */
export function lremovexattr(path: Path, name: string): boolean {
  try {
    check(`lremovexattr ${name} of`, path, libc.lremovexattr(cString(path), cString(name)));
    return true;
  } catch (error) {
    if (isErrno(error, "ENODATA")) return false;
    throw error;
  }
}

/** Reads into a small buffer, and into one of the largest size when that is too small. */
function grown(bytes: number, read: (buffer: Buffer) => number): Buffer {
  try {
    const buffer = Buffer.alloc(bytes);
    return buffer.subarray(0, read(buffer));
  } catch (error) {
    if (!isErrno(error, "ERANGE")) throw error;
    const buffer = Buffer.alloc(MAX_BYTES);
    return buffer.subarray(0, read(buffer));
  }
}
