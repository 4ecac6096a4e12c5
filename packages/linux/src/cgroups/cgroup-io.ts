import { readlinkSync } from "node:fs";
import { basename, join } from "node:path";
import { readCgroupFile } from "./cgroup-file.ts";
import { checkCgroupPath } from "./cgroup-path.ts";
import { controllerFolder } from "./controller-folder.ts";
import { cgroupHierarchies } from "./hierarchies.ts";
import { type Pressure, readPressure } from "./pressure.ts";

/** What a group has moved to and from one block device. */
export interface DeviceIo {
  readonly major: string;
  readonly minor: string;
  /** "/dev/vda"; "" for a device that has no name any more. */
  readonly device: string;
  readonly readBytes: number;
  readonly writeBytes: number;
  readonly reads: number;
  readonly writes: number;
}

/** The pressure on input and output; undefined on version 1. */
export function cgroupIoPressure(path: string): Pressure | undefined {
  checkCgroupPath(path);
  const { version, unified } = cgroupHierarchies();
  return version === "v2" && unified !== undefined ? readPressure(join(unified, path), "io") : undefined;
}

/** What the group has read and written, device by device; [] without the controller. */
export function cgroupIo(path: string): DeviceIo[] {
  checkCgroupPath(path);
  const hierarchies = cgroupHierarchies();
  const folder = controllerFolder(hierarchies, { controller: "blkio", path });
  return hierarchies.version === "v2" ? ioV2(folder) : ioV1(folder);
}

function deviceName(number: string): string {
  try {
    return `/dev/${basename(readlinkSync(`/sys/dev/block/${number}`))}`;
  } catch {
    return ""; // it was unplugged
  }
}

const numbered = (number: string): Pick<DeviceIo, "major" | "minor" | "device"> => {
  const [major = "", minor = ""] = number.split(":");
  return { major, minor, device: deviceName(number) };
};

/** "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0" a line. */
function ioV2(folder: string | undefined): DeviceIo[] {
  const lines = (readCgroupFile(folder, "io.stat") ?? "").split("\n").filter((line) => line.includes("="));
  return lines.map((line) => {
    const [number = "", ...pairs] = line.split(" ");
    const values = new Map(pairs.map((pair) => pair.split("=")).map(([name = "", value]) => [name, Number(value)]));
    return {
      ...numbered(number),
      readBytes: values.get("rbytes") ?? 0,
      writeBytes: values.get("wbytes") ?? 0,
      reads: values.get("rios") ?? 0,
      writes: values.get("wios") ?? 0,
    };
  });
}

/** "8:0 Read 1" and "8:0 Write 2", a line each; the last line is "Total 3". */
function ioV1(folder: string | undefined): DeviceIo[] {
  const tableOf = (file: string): Map<string, number> => {
    const words = (readCgroupFile(folder, file) ?? "").split("\n").map((line) => line.split(" "));
    return new Map(
      words.filter(({ length }) => length === 3).map(([at, kind, value]) => [`${at} ${kind}`, Number(value)]),
    );
  };
  const bytes = tableOf("blkio.throttle.io_service_bytes_recursive");
  const operations = tableOf("blkio.throttle.io_serviced_recursive");
  const numbers = new Set([...bytes.keys(), ...operations.keys()].map((key) => key.split(" ")[0] ?? ""));
  return [...numbers].map((number) => ({
    ...numbered(number),
    readBytes: bytes.get(`${number} Read`) ?? 0,
    writeBytes: bytes.get(`${number} Write`) ?? 0,
    reads: operations.get(`${number} Read`) ?? 0,
    writes: operations.get(`${number} Write`) ?? 0,
  }));
}
