import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { writeFileAtomicSync } from "@tripod/base";
import { type AttachmentKey, isJsonObject, type JsonObject } from "@tripod/cni/sdk";

/** A delegate's configuration as it was at ADD. */
export interface StoredDelegate {
  readonly file: string;
  readonly config: JsonObject & { readonly type: string };
}

/** Upstream's file is the container's id alone, so that a second interface of it overwrites the first's; such a one gets a name of its own. */
const filesOf = (dataDir: string, { containerId, ifname }: AttachmentKey): readonly [string, string] => [
  join(dataDir, containerId),
  join(dataDir, `${containerId}_${ifname}`),
];

/** Whose a file is; upstream's says no interface and is anybody's of the container. */
const ifnameKey = "tripod.dev/ifname";

function read(file: string): StoredDelegate | undefined {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  if (!isJsonObject(value) || typeof value.type !== "string") return undefined;
  return { file, config: { ...value, type: value.type } };
}

const isOf = (stored: StoredDelegate, { ifname }: AttachmentKey): boolean =>
  stored.config[ifnameKey] === undefined || stored.config[ifnameKey] === ifname;

/** The attachment's delegate, upstream's too; undefined when there is none. */
export const findDelegate = (dataDir: string, key: AttachmentKey): StoredDelegate | undefined =>
  filesOf(dataDir, key)
    .flatMap((file) => read(file) ?? [])
    .find((stored) => isOf(stored, key));

/** Keeps the configuration for DEL, on the disk when it returns. */
export function storeDelegate(dataDir: string, key: AttachmentKey, config: JsonObject): void {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const [first, second] = filesOf(dataDir, key);
  const there = read(first);
  const file = there === undefined || isOf(there, key) ? first : second;
  writeFileAtomicSync(file, JSON.stringify({ ...config, [ifnameKey]: key.ifname }), { mode: 0o600 });
}

export const removeDelegate = ({ file }: StoredDelegate): void => rmSync(file, { force: true });

/** All that is kept for a network, by file. */
export function delegatesOf(dataDir: string, network: string): readonly StoredDelegate[] {
  let names: string[];
  try {
    names = readdirSync(dataDir);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return []; // readdirSync throws ErrnoExceptions
    throw error;
  }
  return names
    .filter((name) => !name.endsWith(".tmp"))
    .flatMap((name) => read(join(dataDir, name)) ?? [])
    .filter(({ config }) => config.name === network);
}

/** The files that the attachments may have. */
export const filesOfAll = (dataDir: string, keys: readonly AttachmentKey[]): ReadonlySet<string> =>
  new Set(keys.flatMap((key) => filesOf(dataDir, key)));
