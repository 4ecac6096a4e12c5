import { TripodError } from "@tripod/base";
import { LineCounter, parseDocument } from "yaml";
import { arrayAt, objectAt, optionalStringAt, stringAt, stringsAt } from "../spec/json.ts";

/** One thing to copy from the build's folder into the image. */
export interface CopySpec {
  /** A file or folder below the context; of a folder, its content. */
  readonly from: string;
  /** Absolute path in the image; for a file, one that ends with / is the folder to put it into. */
  readonly to: string;
  /** Permission bits for all files that are copied. */
  readonly mode?: number;
  /** 0:0 unless told. */
  readonly uid?: number;
  readonly gid?: number;
}

/** What an image is to be: the content of tripod-image.yaml, or flags. */
export interface ImageSpec {
  /** An image to build on, or "scratch" (nothing), which it is unless told. */
  readonly from?: string;
  /** The whole folder to / unless told. */
  readonly copy?: readonly CopySpec[];
  /** Names (globs) that are not copied, relative to the context. */
  readonly ignore?: readonly string[];
  /**
   * Permission bits of what a copy gives no mode: "plain" (unless told) does not let the umask of a checkout show, "keep" takes them as they
   * are on the disk.
   */
  readonly modes?: "plain" | "keep";
  readonly env?: Readonly<Record<string, string>>;
  readonly entrypoint?: readonly string[];
  readonly cmd?: readonly string[];
  readonly user?: string;
  readonly workdir?: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** "80/tcp". */
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly stopSignal?: string;
}

/** The file that a build looks for in its folder. */
export const imageSpecFile = "tripod-image.yaml";

const keys = new Set([
  "from",
  "copy",
  "ignore",
  "modes",
  "env",
  "entrypoint",
  "cmd",
  "user",
  "workdir",
  "labels",
  "ports",
  "volumes",
  "stopSignal",
]);

/** Reads tripod-image.yaml; errors name the file, and the line of what is not YAML. */
export function parseImageSpec(text: string, file: string): ImageSpec {
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter });
  const [problem] = document.errors;
  if (problem !== undefined) {
    const { line } = lineCounter.linePos(problem.pos[0]);
    throw new TripodError("invalid", `${file}:${line}: ${problem.message.split("\n")[0]}`);
  }
  const value: unknown = document.toJS({ maxAliasCount: 100 });
  const object = value == null ? {} : objectAt(value, file);
  for (const key of Object.keys(object)) {
    if (!keys.has(key))
      throw new TripodError("invalid", `${file}: ${key}: no such field; known are ${[...keys].join(", ")}`);
  }
  const strings = (key: "entrypoint" | "cmd" | "ignore" | "volumes"): object =>
    object[key] == null ? {} : { [key]: stringsAt(object[key], `${file}: ${key}`) };
  const text1 = (key: "from" | "user" | "workdir" | "stopSignal"): object => {
    const found = object[key];
    return found == null
      ? {}
      : { [key]: typeof found === "number" ? String(found) : stringAt(found, `${file}: ${key}`) };
  };
  const map = (key: "env" | "labels"): object =>
    object[key] == null ? {} : { [key]: scalars(object[key], `${file}: ${key}`) };
  return {
    ...text1("from"),
    ...(object.copy == null
      ? {}
      : { copy: arrayAt(object.copy, `${file}: copy`).map((item, i) => copySpec(item, `${file}: copy[${i}]`)) }),
    ...strings("ignore"),
    ...(object.modes == null ? {} : { modes: modesAt(object.modes, `${file}: modes`) }),
    ...map("env"),
    ...strings("entrypoint"),
    ...strings("cmd"),
    ...text1("user"),
    ...text1("workdir"),
    ...map("labels"),
    ...(object.ports == null
      ? {}
      : {
          ports: arrayAt(object.ports, `${file}: ports`).map((port, i) =>
            parsePort(scalar(port, `${file}: ports[${i}]`), `${file}: ports[${i}]`),
          ),
        }),
    ...strings("volumes"),
    ...text1("stopSignal"),
  };
}

function modesAt(value: unknown, where: string): "plain" | "keep" {
  if (value === "plain" || value === "keep") return value;
  throw new TripodError("invalid", `${where}: must be plain or keep`);
}

/** "80" or "53/udp" as "80/tcp", "53/udp". */
export function parsePort(text: string, where: string): string {
  const match = /^(\d{1,5})(?:\/(tcp|udp|sctp))?$/.exec(text);
  if (match?.[1] === undefined || Number(match[1]) < 1 || Number(match[1]) > 65535) {
    throw new TripodError("invalid", `${where}: ${JSON.stringify(text)} is not a port like 80 or 53/udp`);
  }
  return `${Number(match[1])}/${match[2] ?? "tcp"}`;
}

function scalar(value: unknown, where: string): string {
  if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") return String(value);
  throw new TripodError("invalid", `${where}: must be a text`);
}

/** YAML reads 1 and true as what they are; in an environment they are text. */
function scalars(value: unknown, where: string): Record<string, string> {
  return Object.fromEntries(
    Object.entries(objectAt(value, where)).map(([key, item]) => {
      return [key, item == null ? "" : scalar(item, `${where}.${key}`)];
    }),
  );
}

function copySpec(value: unknown, where: string): CopySpec {
  if (typeof value === "string") return parseCopy(value, where);
  const object = objectAt(value, where);
  for (const key of Object.keys(object)) {
    if (!["from", "to", "mode", "owner"].includes(key))
      throw new TripodError("invalid", `${where}: ${key}: no such field`);
  }
  const { mode } = object;
  const modeText = mode == null ? undefined : scalar(mode, `${where}.mode`);
  if (modeText !== undefined && !/^0?o?[0-7]{3,4}$/.test(modeText))
    throw new TripodError("invalid", `${where}.mode: must be like "0755"`);
  const owner = optionalStringAt(object.owner, `${where}.owner`);
  const [uid, gid] = (owner ?? "0:0").split(":").map(Number);
  if (!Number.isInteger(uid) || !Number.isInteger(gid ?? uid))
    throw new TripodError("invalid", `${where}.owner: must be like "1000:1000"`);
  return {
    ...checked(stringAt(object.from, `${where}.from`), optionalStringAt(object.to, `${where}.to`) ?? "/", where),
    ...(modeText === undefined ? {} : { mode: Number.parseInt(modeText.replace("o", ""), 8) }),
    uid: uid ?? 0,
    gid: gid ?? uid ?? 0,
  };
}

/** Reads "FROM:TO", as of the command line; FROM alone goes to /. */
export function parseCopy(text: string, where: string): CopySpec {
  const colon = text.indexOf(":");
  return colon === -1 ? checked(text, "/", where) : checked(text.slice(0, colon), text.slice(colon + 1), where);
}

function checked(from: string, to: string, where: string): CopySpec {
  if (from === "" || from.split("/").includes(".."))
    throw new TripodError("invalid", `${where}: ${JSON.stringify(from)} is outside of the build's folder`);
  if (!to.startsWith("/") || to.split("/").includes(".."))
    throw new TripodError("invalid", `${where}: ${JSON.stringify(to)} is not an absolute path`);
  return { from, to };
}
