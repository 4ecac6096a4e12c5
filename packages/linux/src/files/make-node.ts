import { cString, libc, type Path } from "../libc.ts";
import { check } from "../system-call-error.ts";

const kinds = { fifo: 0o010000, character: 0o020000, block: 0o060000, file: 0o100000, socket: 0o140000 } as const;

export interface NodeSpec {
  readonly kind: keyof typeof kinds;
  /** Permission bits, from which the umask takes away. */
  readonly mode: number;
  /** Of a device; 0 unless told. */
  readonly major?: number;
  readonly minor?: number;
}

/** A device number as the C library packs it: 12+20 bits of major and minor in today's kernels, 32+32 in the type. */
export function makeDevice(major: number, minor: number): bigint {
  const [a, b] = [BigInt(major), BigInt(minor)];
  return ((a & 0xfffn) << 8n) | ((a & ~0xfffn) << 32n) | (b & 0xffn) | ((b & ~0xffn) << 12n);
}

/** mknod(2): a device, a FIFO, a socket or an empty file. A whiteout of overlay is { kind: "character", major: 0, minor: 0 }. */
export function mknod(path: Path, spec: NodeSpec): void {
  const device = makeDevice(spec.major ?? 0, spec.minor ?? 0);
  check("mknod", path, libc.mknod(cString(path), kinds[spec.kind] | spec.mode, device));
}
