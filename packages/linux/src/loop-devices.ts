import { closeSync, constants, mkdirSync, openSync, readdirSync, readFileSync } from "node:fs";
import { isNodeError, TripodError } from "@tripod/base";
import { mknod } from "./files/make-node.ts";
import { libc } from "./libc.ts";
import { check, isErrno } from "./system-call-error.ts";

/** include/uapi/linux/loop.h. */
const LOOP_CLR_FD = 0x4c01;
const LOOP_SET_CAPACITY = 0x4c07;
const LOOP_CONFIGURE = 0x4c0a;
const LOOP_CTL_GET_FREE = 0x4c82;
const LO_FLAGS_READ_ONLY = 1;
/** Go away when the last descriptor is closed and the last mount has gone. */
const LO_FLAGS_AUTOCLEAR = 4;
const LO_FLAGS_DIRECT_IO = 16;
const CONFIG_BYTES = 304;
const INFO = 8;
const INFO_OFFSET = INFO + 24;
const INFO_SIZE_LIMIT = INFO + 32;
const INFO_FLAGS = INFO + 52;
const INFO_FILE_NAME = INFO + 56;
const LOOP_MAJOR = 7;

export interface AttachLoopOptions {
  readonly readOnly?: boolean;
  /** Past the page cache, so that data is not kept twice; ignored where the file system cannot. */
  readonly directIo?: boolean;
  readonly offsetBytes?: number;
  /** The whole file when left out. */
  readonly sizeBytes?: number;
}

/** A loop device in use. */
export interface LoopDevice {
  /** "/dev/loop3". */
  readonly path: string;
  /** As the kernel writes it: absolute, " (deleted)" after it when the file is gone. */
  readonly backingFile: string;
}

interface Attached {
  readonly path: string;
  /** Open on it. */
  readonly device: number;
}

/** Shows a file as a block device until detachLoop(); returns its path, "/dev/loop3". Linux 5.8. */
export function attachLoop(file: string, options: AttachLoopOptions = {}): string {
  const { path, device } = attach(file, options, 0);
  closeSync(device);
  return path;
}

/**
 * Shows a file as a block device to `use`, which mounts it: the device goes by itself with the last mount, and at once when none was made,
 * also when this process dies in between.
 */
export function withLoop<T>(file: string, use: (path: string) => T, options: AttachLoopOptions = {}): T {
  const { path, device } = attach(file, options, LO_FLAGS_AUTOCLEAR);
  try {
    return use(path);
  } finally {
    closeSync(device);
  }
}

function attach(file: string, options: AttachLoopOptions, wanted: number): Attached {
  const readOnly = options.readOnly === true;
  const backing = openSync(file, readOnly ? constants.O_RDONLY : constants.O_RDWR);
  try {
    const config = Buffer.alloc(CONFIG_BYTES);
    config.writeUInt32LE(backing, 0);
    config.writeBigUInt64LE(BigInt(options.offsetBytes ?? 0), INFO_OFFSET);
    config.writeBigUInt64LE(BigInt(options.sizeBytes ?? 0), INFO_SIZE_LIMIT);
    const flags = wanted | (readOnly ? LO_FLAGS_READ_ONLY : 0) | (options.directIo === true ? LO_FLAGS_DIRECT_IO : 0);
    config.writeUInt32LE(flags, INFO_FLAGS);
    config.write(file.slice(0, 63), INFO_FILE_NAME);
    for (let attempt = 0; attempt < 64; attempt += 1) {
      const attached = configureFree(config, file, readOnly);
      if (attached !== undefined) return attached;
    }
    throw new TripodError("unavailable", `attach ${file}: other processes took each free loop device first`);
  } finally {
    closeSync(backing);
  }
}

/** Configures the next free device; undefined when somebody else was faster. */
function configureFree(config: Buffer, file: string, readOnly: boolean): Attached | undefined {
  const control = openControl(file);
  let number: number;
  try {
    number = check("LOOP_CTL_GET_FREE", "/dev/loop-control", libc.ioctl(control, LOOP_CTL_GET_FREE, null));
  } finally {
    closeSync(control);
  }
  const path = `/dev/loop${number}`;
  const device = openDevice(path, number, readOnly);
  try {
    check("LOOP_CONFIGURE", `${path} for ${file}`, libc.ioctl(device, LOOP_CONFIGURE, config));
    return { path, device };
  } catch (error) {
    closeSync(device);
    if (isErrno(error, "EBUSY")) return undefined;
    throw error;
  }
}

function openControl(file: string): number {
  try {
    return openSync("/dev/loop-control", constants.O_RDWR);
  } catch (cause) {
    if (!isNodeError(cause, "ENOENT", "ENODEV")) throw cause;
    const problem = "this kernel has no loop devices; load its module `loop`";
    throw new TripodError("failed-precondition", `attach ${file}: ${problem}`, { cause });
  }
}

function openDevice(path: string, number: number, readOnly: boolean): number {
  const mode = readOnly ? constants.O_RDONLY : constants.O_RDWR;
  try {
    return openSync(path, mode);
  } catch (error) {
    // Where no udev runs the node of a new device is missing. openSync throws ErrnoExceptions.
    if (!isNodeError(error, "ENOENT")) throw error;
    mkdirSync("/dev", { recursive: true });
    mknod(path, { kind: "block", mode: 0o660, major: LOOP_MAJOR, minor: number });
    return openSync(path, mode);
  }
}

/** Lets the device go, at once or when its last user does: true when it was in use, false when it was free or is not there. */
export function detachLoop(path: string): boolean {
  return withDevice(path, (device) => {
    try {
      check("LOOP_CLR_FD", path, libc.ioctl(device, LOOP_CLR_FD, null));
      return true;
    } catch (error) {
      if (isErrno(error, "ENXIO")) return false;
      throw error;
    }
  });
}

/** Makes the device as large as its file has become: false when the device is not there. */
export function refreshLoopSize(path: string): boolean {
  return withDevice(path, (device) => {
    check("LOOP_SET_CAPACITY", path, libc.ioctl(device, LOOP_SET_CAPACITY, null));
    return true;
  });
}

function withDevice(path: string, work: (device: number) => boolean): boolean {
  let device: number;
  try {
    device = openSync(path, constants.O_RDONLY);
  } catch (error) {
    // openSync throws ErrnoExceptions.
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT" || code === "ENXIO") return false;
    throw error;
  }
  try {
    return work(device);
  } finally {
    closeSync(device);
  }
}

/** The loop devices in use. */
export function loopDevices(): LoopDevice[] {
  const devices: LoopDevice[] = [];
  for (const name of readdirSync("/sys/block")) {
    if (!/^loop\d+$/.test(name)) continue;
    try {
      const backingFile = readFileSync(`/sys/block/${name}/loop/backing_file`, "utf8").trimEnd();
      devices.push({ path: `/dev/${name}`, backingFile });
    } catch (error) {
      // Free devices have no such file; ENXIO when it was let go meanwhile. readFileSync throws ErrnoExceptions.
      const code = (error as NodeJS.ErrnoException).code;
      if (code !== "ENOENT" && code !== "ENXIO") throw error;
    }
  }
  return devices;
}
