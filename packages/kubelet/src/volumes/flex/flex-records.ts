import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { isNodeError, TripodError, writeFileAtomic } from "@tripod/base";
import { entriesOf } from "../folder-entries.ts";
import { safeComponent } from "../pod-paths.ts";
import { flexRecordsDir } from "./flex-paths.ts";

/** What must be known to take a volume away without the API server. */
export interface FlexRecord {
  readonly podUid: string;
  readonly specName: string;
  /** "vendor/driver". */
  readonly driver: string;
  /** What the driver, or else the kubelet, calls the volume. */
  readonly volumeName: string;
}

const fileOf = (kubeletDir: string, podUid: string, specName: string): string =>
  join(flexRecordsDir(kubeletDir), `${safeComponent(podUid)}~${safeComponent(specName)}.json`);

export async function writeFlexRecord(kubeletDir: string, record: FlexRecord): Promise<void> {
  await mkdir(flexRecordsDir(kubeletDir), { recursive: true, mode: 0o750 });
  await writeFileAtomic(fileOf(kubeletDir, record.podUid, record.specName), JSON.stringify(record));
}

export const readFlexRecord = (kubeletDir: string, podUid: string, specName: string): Promise<FlexRecord | undefined> =>
  read(fileOf(kubeletDir, podUid, specName));

export const removeFlexRecord = (kubeletDir: string, podUid: string, specName: string): Promise<void> =>
  rm(fileOf(kubeletDir, podUid, specName), { force: true });

/** Every volume that is mounted on this node, or about to be. */
export async function flexRecords(kubeletDir: string): Promise<FlexRecord[]> {
  const names = (await entriesOf(flexRecordsDir(kubeletDir))).filter((name) => name.endsWith(".json"));
  const records = await Promise.all(names.map((name) => read(join(flexRecordsDir(kubeletDir), name))));
  return records.filter((record) => record !== undefined);
}

async function read(path: string): Promise<FlexRecord | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if (isNodeError(error, "ENOENT")) return undefined;
    throw error;
  }
  try {
    return JSON.parse(text) as FlexRecord; // written above, whole or not at all
  } catch (cause) {
    throw new TripodError("corrupt", `${path}: is not JSON; remove it once its volume is unmounted`, { cause });
  }
}
