import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { isNodeError, messageOf, TripodError } from "@tripod/base";
import { Fields, isJsonObject, type JsonObject, type JsonValue } from "./json.ts";
import { type NetworkConfig, networkConfigToJson, parseNetworkConfig } from "./network-config.ts";
import type { AttachmentKey } from "./plugin.ts";
import type { CniResult } from "./result.ts";
import { parseResult, resultToJson } from "./result-wire.ts";

const kind = "cniCacheV1";

/** Where a record is written before it takes its place. One name is enough: an attachment has one operation at a time. */
const temporaryOf = (path: string): string => `${path}.tmp`;

/** What is remembered of an attachment from the moment before its first plugin runs until its DEL is through. */
export interface CachedAttachment extends AttachmentKey {
  readonly network: NetworkConfig;
  readonly netns: string;
  /** CNI_ARGS as pairs. */
  readonly args: readonly (readonly [string, string])[];
  readonly capabilityArgs: JsonObject;
  /** Absent while ADD is under way, or when it was cut off. */
  readonly result?: CniResult;
}

function decode(file: string, text: string): CachedAttachment | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined; // cut short by a power cut of another program's write: there is no such attachment any more
  }
  if (!isJsonObject(value) || value.kind !== kind) return undefined;
  const fields = new Fields(value, `CNI cache ${file}`);
  const network = parseNetworkConfig(file, Buffer.from(fields.string("config", ""), "base64").toString());
  const args = fields.list("cniArgs").flatMap((pair): [string, string][] => {
    const [key, item] = Array.isArray(pair) ? pair : [];
    return typeof key === "string" && typeof item === "string" ? [[key, item]] : [];
  });
  return {
    containerId: fields.string("containerId", ""),
    ifname: fields.string("ifName", ""),
    network,
    netns: fields.string("netns", ""),
    args,
    capabilityArgs: fields.objectAt("capabilityArgs"),
    ...(fields.has("result") ? { result: parseResult(fields.objectAt("result"), network.cniVersion) } : {}),
  };
}

/**
 * The result cache of libcni, in its own layout: `<dir>/results/<network>-<container>-<interface>`, 0600 in 0700. A file appears
 * whole or not at all to whoever reads it, also after a kill -9. It is not flushed to the disk, which would cost more than all the
 * plugins together: no namespace outlives a power cut, and what such a cut tears is as absent.
 */
export class ResultCache {
  readonly #dir: string;

  constructor(cacheDir: string) {
    this.#dir = join(cacheDir, "results");
  }

  #path(network: string, { containerId, ifname }: AttachmentKey): string {
    return join(this.#dir, `${network}-${containerId}-${ifname}`);
  }

  put(attachment: CachedAttachment): void {
    const { network, result } = attachment;
    const cached: Record<string, JsonValue> = {
      kind,
      containerId: attachment.containerId,
      config: Buffer.from(JSON.stringify(networkConfigToJson(network))).toString("base64"),
      ifName: attachment.ifname,
      networkName: network.name,
      netns: attachment.netns,
      cniArgs: attachment.args,
      capabilityArgs: attachment.capabilityArgs,
      ...(result === undefined ? {} : { result: resultToJson(result, network.cniVersion) }),
    };
    mkdirSync(this.#dir, { recursive: true, mode: 0o700 });
    const path = this.#path(network.name, attachment);
    const temporary = temporaryOf(path);
    try {
      writeFileSync(temporary, JSON.stringify(cached), { mode: 0o600 });
      renameSync(temporary, path);
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    }
  }

  /** Undefined when there is none; "corrupt" when it cannot be read. */
  async get(network: string, key: AttachmentKey): Promise<CachedAttachment | undefined> {
    return this.#read(this.#path(network, key));
  }

  async #read(path: string): Promise<CachedAttachment | undefined> {
    try {
      return decode(path, await readFile(path, "utf8"));
    } catch (error) {
      if (isNodeError(error, "ENOENT")) return undefined;
      throw new TripodError("corrupt", `read CNI cache ${path}: ${messageOf(error)}`, { cause: error });
    }
  }

  /** Forgets the attachment, and a write of it that a kill cut off; fine when it is not there. */
  async remove(network: string, key: AttachmentKey): Promise<void> {
    const path = this.#path(network, key);
    await rm(temporaryOf(path), { force: true });
    await rm(path, { force: true });
  }

  /** Every attachment that can be read, or only one container's; another program's unreadable file is passed over. */
  async list(containerId?: string): Promise<readonly CachedAttachment[]> {
    let names: string[];
    try {
      names = await readdir(this.#dir);
    } catch (error) {
      if (isNodeError(error, "ENOENT")) return [];
      throw error;
    }
    const found: CachedAttachment[] = [];
    for (const name of names.toSorted()) {
      if (name.endsWith(".tmp") || (containerId !== undefined && !name.includes(`-${containerId}-`))) continue;
      const attachment = await this.#read(join(this.#dir, name)).catch(() => undefined); // promised above
      if (attachment === undefined || attachment.ifname === "") continue;
      if (containerId === undefined || attachment.containerId === containerId) found.push(attachment);
    }
    return found;
  }
}
