import { TripodError } from "@tripod/base";
import { createHash } from "node:crypto";
import { type Digest, parseDigest } from "../digest.ts";
import { arrayAt, objectAt, optionalStringAt, parseJson, stringAt, stringMapAt, stringsAt } from "./json.ts";

/** What a container of the image runs with (OCI image spec, config.md, "config"; field names are the spec's). */
export interface ExecutionConfig {
  /** "user", "uid", "user:group", "uid:gid"; "" is root. */
  readonly User?: string;
  readonly ExposedPorts?: Readonly<Record<string, object>>;
  /** "NAME=value" each. */
  readonly Env?: readonly string[];
  readonly Entrypoint?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly Volumes?: Readonly<Record<string, object>>;
  readonly WorkingDir?: string;
  readonly Labels?: Readonly<Record<string, string>>;
  readonly StopSignal?: string;
}

export interface HistoryEntry {
  readonly created?: string;
  readonly created_by?: string;
  readonly comment?: string;
  readonly empty_layer?: boolean;
}

/** An image's config document (OCI image spec, config.md). */
export interface ImageConfig {
  /** RFC 3339. */
  readonly created?: string;
  readonly author?: string;
  readonly architecture: string;
  readonly os: string;
  readonly variant?: string;
  readonly config?: ExecutionConfig;
  readonly rootfs: { readonly type: "layers"; readonly diff_ids: readonly Digest[] };
  readonly history?: readonly HistoryEntry[];
}

/** overlayfs takes no more lower folders. */
const maxLayers = 500;

const setAt = (value: unknown, where: string): Record<string, object> =>
  Object.fromEntries(Object.keys(objectAt(value, where)).map((key) => [key, {}]));

function parseExecution(value: unknown, where: string): ExecutionConfig {
  const object = objectAt(value, where);
  const text = (key: "User" | "WorkingDir" | "StopSignal"): object => {
    const found = optionalStringAt(object[key], `${where}.${key}`);
    return found === undefined || found === "" ? {} : { [key]: found };
  };
  const list = (key: "Env" | "Entrypoint" | "Cmd"): object =>
    object[key] == null ? {} : { [key]: stringsAt(object[key], `${where}.${key}`) };
  return {
    ...text("User"),
    ...(object.ExposedPorts == null ? {} : { ExposedPorts: setAt(object.ExposedPorts, `${where}.ExposedPorts`) }),
    ...list("Env"),
    ...list("Entrypoint"),
    ...list("Cmd"),
    ...(object.Volumes == null ? {} : { Volumes: setAt(object.Volumes, `${where}.Volumes`) }),
    ...text("WorkingDir"),
    ...(object.Labels == null ? {} : { Labels: stringMapAt(object.Labels, `${where}.Labels`) }),
    ...text("StopSignal"),
  };
}

function parseHistory(value: unknown, where: string): HistoryEntry {
  const object = objectAt(value, where);
  const entry: Record<string, unknown> = {};
  for (const key of ["created", "created_by", "comment"]) {
    const found = optionalStringAt(object[key], `${where}.${key}`);
    if (found !== undefined) entry[key] = found;
  }
  if (object.empty_layer === true) entry.empty_layer = true;
  return entry;
}

/** Checks a config document; `where` names it in errors. */
export function parseImageConfig(bytes: Uint8Array | string, where: string): ImageConfig {
  const object = objectAt(parseJson(bytes, where), where);
  const rootfs = objectAt(object.rootfs, `${where}: rootfs`);
  if (rootfs.type !== "layers") throw new TripodError("invalid", `${where}: rootfs.type: must be "layers"`);
  const diffIds = arrayAt(rootfs.diff_ids, `${where}: rootfs.diff_ids`, maxLayers);
  const optional = (key: "created" | "author" | "variant"): object => {
    const found = optionalStringAt(object[key], `${where}: ${key}`);
    return found === undefined || found === "" ? {} : { [key]: found };
  };
  return {
    ...optional("created"),
    ...optional("author"),
    architecture: optionalStringAt(object.architecture, `${where}: architecture`) ?? "",
    os: optionalStringAt(object.os, `${where}: os`) ?? "",
    ...optional("variant"),
    ...(object.config == null ? {} : { config: parseExecution(object.config, `${where}: config`) }),
    rootfs: {
      type: "layers",
      diff_ids: diffIds.map((id, index) => {
        const at = `${where}: rootfs.diff_ids[${index}]`;
        return parseDigest(stringAt(id, at), at);
      }),
    },
    ...(object.history == null
      ? {}
      : {
          history: arrayAt(object.history, `${where}: history`).map((h, i) =>
            parseHistory(h, `${where}: history[${i}]`),
          ),
        }),
  };
}

/** The chain ids of layers, bottom first (OCI image spec, config.md, "Layer ChainID"). */
export function chainIdsOf(diffIds: readonly Digest[]): Digest[] {
  const chain: Digest[] = [];
  for (const diffId of diffIds) {
    const below = chain.at(-1);
    chain.push(
      below === undefined ? diffId : `sha256:${createHash("sha256").update(`${below} ${diffId}`).digest("hex")}`,
    );
  }
  return chain;
}
