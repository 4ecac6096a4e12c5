import { closeSync, constants, fstatSync, openSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { isNodeError, messageOf, TripodError } from "@tripod/base";
import { parse } from "yaml";
import { parseCdiDevice } from "./device-name.ts";
import { type CdiEdits, type CdiSpec, parseCdiSpec } from "./parse-spec.ts";

const maxFileBytes = 1024 * 1024;
const maxFiles = 1024;

/** A spec file as it was when it was read, or why it could not be. */
interface SpecFile {
  readonly path: string;
  readonly stamp: string;
  readonly spec?: CdiSpec;
  readonly problem?: string;
}

/** What the spec files of this moment hold, for people. */
export interface CdiOverview {
  readonly specDirs: readonly string[];
  /** Fully qualified names. */
  readonly devices: readonly string[];
  /** Files that are left out, and names that two files of one folder claim; each says why. */
  readonly problems: readonly string[];
}

type Found = { readonly file: SpecFile & { readonly spec: CdiSpec }; readonly edits: CdiEdits };

function readSpec(path: string): CdiSpec {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw new Error("it is not a regular file");
    if (stat.size > maxFileBytes) throw new Error(`it is larger than ${maxFileBytes} bytes`);
    const text = readFileSync(fd, "utf8");
    return parseCdiSpec(path.endsWith(".json") ? JSON.parse(text) : parse(text, { maxAliasCount: 100 }), path);
  } finally {
    closeSync(fd);
  }
}

/**
 * The devices that vendors describe in spec files (Container Device Interface, up to 1.1). The folders are looked at anew for every
 * request, a file is read again when it has changed. A device of a later folder goes before the same one of an earlier folder; two in
 * one folder make it unusable; a file that is wrong costs only its own devices.
 */
export class CdiDevices {
  readonly #dirs: readonly string[];
  readonly #known = new Map<string, SpecFile>();

  constructor(specDirs: readonly string[]) {
    this.#dirs = specDirs;
  }

  /** What to apply for these devices, in their order; a spec's own edits go before its first device's. */
  resolve(devices: readonly string[]): CdiEdits[] {
    const names = devices.map(parseCdiDevice); // a wrong name is one even where no device is
    if (names.length === 0) return [];
    const { found, problems } = this.#load();
    const applied = new Set<string>();
    return names.flatMap(({ kind, name }) => {
      const qualified = `${kind}=${name}`;
      const device = found.get(qualified);
      if (device === undefined || device === "conflict") {
        const related = problems.filter((problem) => device === undefined || problem.includes(qualified));
        const why = related.length > 0 ? `; ${related.slice(0, 3).join("; ")}` : "";
        throw new TripodError(
          "failed-precondition",
          `CDI device ${qualified}: no usable spec file in ${this.#dirs.join(", ")} describes it${why}`,
        );
      }
      const first = !applied.has(device.file.path);
      applied.add(device.file.path);
      const shared = device.file.spec.containerEdits;
      return first && shared != null ? [shared, device.edits] : [device.edits];
    });
  }

  overview(): CdiOverview {
    const { found, problems } = this.#load();
    const devices = [...found].filter(([, device]) => device !== "conflict").map(([name]) => name);
    return { specDirs: this.#dirs, devices: devices.sort(), problems };
  }

  #load(): { readonly found: ReadonlyMap<string, Found | "conflict">; readonly problems: string[] } {
    const found = new Map<string, Found | "conflict">();
    const problems: string[] = [];
    const seen = new Set<string>();
    for (const dir of this.#dirs) {
      const inDir = new Map<string, Found | "conflict">();
      for (const path of this.#specFiles(dir, problems)) {
        seen.add(path);
        const file = this.#read(path);
        if (file === undefined) continue;
        const { spec } = file;
        if (spec === undefined) {
          problems.push(file.problem ?? path);
          continue;
        }
        for (const device of spec.devices) {
          const name = `${spec.kind}=${device.name}`;
          const other = inDir.get(name);
          if (other === undefined) inDir.set(name, { file: { ...file, spec }, edits: device.containerEdits });
          else {
            problems.push(`${path}: another file of ${dir} describes ${name} too`);
            inDir.set(name, "conflict");
          }
        }
      }
      for (const [name, device] of inDir) found.set(name, device);
    }
    for (const path of this.#known.keys()) if (!seen.has(path)) this.#known.delete(path);
    return { found, problems };
  }

  #specFiles(dir: string, problems: string[]): string[] {
    let names: string[];
    try {
      names = readdirSync(dir);
    } catch (error) {
      if (!isNodeError(error, "ENOENT")) problems.push(`${dir}: ${messageOf(error)}`);
      return [];
    }
    const specs = names.filter((name) => /\.(json|ya?ml)$/.test(name)).sort();
    if (specs.length > maxFiles) problems.push(`${dir}: only ${maxFiles} of its ${specs.length} files are read`);
    return specs.slice(0, maxFiles).map((name) => join(dir, name));
  }

  #read(path: string): SpecFile | undefined {
    let stamp: string;
    try {
      const stat = statSync(path, { bigint: true });
      if (stat.isDirectory()) return undefined;
      stamp = [stat.ino, stat.size, stat.mtimeNs, stat.ctimeNs].join(" ");
    } catch (error) {
      if (isNodeError(error, "ENOENT")) return undefined; // it went away since readdir
      return { path, stamp: "", problem: messageOf(error) };
    }
    const known = this.#known.get(path);
    if (known?.stamp === stamp) return known;
    let file: SpecFile;
    try {
      file = { path, stamp, spec: readSpec(path) };
    } catch (error) {
      const why = messageOf(error);
      file = { path, stamp, problem: why.startsWith(path) ? why : `${path}: ${why}` };
    }
    this.#known.set(path, file);
    return file;
  }
}
