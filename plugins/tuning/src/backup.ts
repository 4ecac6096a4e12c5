import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { writeFileAtomicSync } from "@tripod/base";
import { type AttachmentKey, compact, Fields, isJsonObject } from "@tripod/cni/sdk";
import type { Sysctl } from "./tuning-config.ts";

/** What an interface was like before it was tuned; what is undefined was not touched. */
export interface Backup {
  /** The network that tuned it: GC takes only what is the network's own. */
  readonly network: string;
  /** Which namespace it was: a record of another one, left by a crash, says nothing about this one. */
  readonly namespace: string;
  readonly mac: string | undefined;
  readonly mtu: number | undefined;
  readonly promiscuous: boolean | undefined;
  readonly allMulticast: boolean | undefined;
  readonly txQueueLength: number | undefined;
  readonly sysctls: readonly Sysctl[];
}

/** Upstream's name of the file; neither part can have a slash. */
const fileOf = (dataDir: string, { containerId, ifname }: AttachmentKey): string =>
  join(dataDir, `${containerId}_${ifname}.json`);

/** In upstream's form, and what is ours beside it: upstream's DEL understands it. */
export function writeBackup(dataDir: string, key: AttachmentKey, backup: Backup): void {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const json = compact({
    mac: backup.mac,
    mtu: backup.mtu,
    promisc: backup.promiscuous,
    allmulti: backup.allMulticast,
    txQLen: backup.txQueueLength,
    network: backup.network,
    namespace: backup.namespace,
    sysctl: Object.fromEntries(backup.sysctls.map(({ name, value }) => [name, value])),
  });
  writeFileAtomicSync(fileOf(dataDir, key), JSON.stringify(json), { mode: 0o600 });
}

/** The record of an attachment, upstream's too; undefined when there is none, or none that can be read. */
export function readBackup(dataDir: string, key: AttachmentKey): Backup | undefined {
  return parseBackup(fileOf(dataDir, key));
}

function parseBackup(file: string): Backup | undefined {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  if (!isJsonObject(value)) return undefined;
  const fields = new Fields(value, file);
  const mtu = fields.optionalInteger("mtu", 0, 0xffffffff) ?? 0;
  const yesOrNo = (key: string): boolean | undefined => (fields.has(key) ? fields.boolean(key, false) : undefined);
  return {
    network: fields.string("network", ""),
    namespace: fields.string("namespace", ""),
    mac: fields.string("mac", "") === "" ? undefined : fields.string("mac", ""),
    mtu: mtu === 0 ? undefined : mtu,
    promiscuous: yesOrNo("promisc"),
    allMulticast: yesOrNo("allmulti"),
    txQueueLength: fields.optionalInteger("txQLen", 0, 0xffffffff),
    sysctls: Object.entries(fields.objectAt("sysctl")).flatMap(([name, old]) =>
      typeof old === "string" ? [{ name, value: old }] : [],
    ),
  };
}

export function removeBackup(dataDir: string, key: AttachmentKey): void {
  rmSync(fileOf(dataDir, key), { force: true });
}

/** Removes the records of the network's attachments that are not valid. */
export function collectBackups(dataDir: string, network: string, valid: readonly AttachmentKey[]): void {
  const wanted = new Set(valid.map((key) => fileOf(dataDir, key)));
  let names: string[];
  try {
    names = readdirSync(dataDir);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return; // readdirSync throws ErrnoExceptions
    throw error;
  }
  for (const name of names) {
    const file = join(dataDir, name);
    if (name.endsWith(".json") && !wanted.has(file) && parseBackup(file)?.network === network)
      rmSync(file, { force: true });
  }
}
