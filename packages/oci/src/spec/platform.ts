import { arch } from "node:process";
import { TripodError } from "@tripod/base";
import { objectAt, optionalStringAt, stringsAt } from "./json.ts";

/** Names are Go's (OCI image spec, image-index.md). */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
  readonly "os.version"?: string;
  /** What the image needs of the system; known names are Windows' alone. */
  readonly "os.features"?: readonly string[];
}

export function parsePlatformObject(value: unknown, where: string): Platform {
  const object = objectAt(value, where);
  const variant = optionalStringAt(object.variant, `${where}.variant`);
  const version = optionalStringAt(object["os.version"], `${where}.os.version`);
  const features = stringsAt(object["os.features"], `${where}.os.features`);
  return {
    os: optionalStringAt(object.os, `${where}.os`) ?? "",
    architecture: optionalStringAt(object.architecture, `${where}.architecture`) ?? "",
    ...(variant === undefined || variant === "" ? {} : { variant }),
    ...(version === undefined || version === "" ? {} : { "os.version": version }),
    ...(features.length === 0 ? {} : { "os.features": features }),
  };
}

const goNames: Readonly<Record<string, string>> = { x64: "amd64", ia32: "386", ppc64: "ppc64le", mips: "mipsle" };

/** What this machine runs. */
export function hostPlatform(): Platform {
  const architecture = goNames[arch] ?? arch;
  return { os: "linux", architecture, ...(architecture === "arm" ? { variant: "v7" } : {}) };
}

/**
 * Reads "os/arch[/variant]", with "(VERSION+FEATURE+…)" behind the system where these matter, as containerd writes it:
 * "windows(10.0.17763)/amd64". Undefined is this machine's.
 */
export function parsePlatform(text: string | undefined): Platform {
  if (text === undefined || text === "") return hostPlatform();
  const match = /^([a-z0-9_.-]+)(?:\(([\w.-]*)((?:\+[\w.-]+)*)\))?\/([a-z0-9_.-]+)(?:\/([a-z0-9_.-]+))?$/.exec(text);
  const [, os, version = "", features = "", architecture, variant] = match ?? [];
  if (os === undefined || architecture === undefined) {
    throw new TripodError("invalid", `platform ${JSON.stringify(text)}: must look like linux/amd64 or linux/arm/v7`);
  }
  return {
    os,
    architecture,
    ...(variant === undefined ? {} : { variant }),
    ...(version === "" ? {} : { "os.version": version }),
    ...(features === "" ? {} : { "os.features": features.slice(1).split("+") }),
  };
}

export const formatPlatform = (platform: Platform): string =>
  [platform.os, platform.architecture, platform.variant].filter((part) => part !== undefined && part !== "").join("/");

const defaultVariant: Readonly<Record<string, string>> = { arm: "v7", arm64: "v8", amd64: "v1" };
const variantNumber = (platform: Platform): number =>
  Number(/^v(\d+)$/.exec(platform.variant ?? defaultVariant[platform.architecture] ?? "v0")?.[1] ?? Number.NaN);

/** How much of a version is the same: all of it, the part that says which kernel it needs (Windows' first three numbers), or nothing that counts. */
function versionRank(wanted: Platform, offered: Platform): number {
  const [has, needs] = [wanted["os.version"], offered["os.version"]];
  if (has === undefined || needs === undefined) return 0;
  const build = (version: string): string => version.split(".").slice(0, 3).join(".");
  return has === needs ? 2 : build(has) === build(needs) ? 1 : 0;
}

/**
 * How well what is `offered` runs on what is `wanted`: undefined for not at all, else higher is better. A lower variant of the
 * same architecture runs (arm v6 on v7, amd64 v1 on v3), a higher one does not. What needs features that are not known to be there comes
 * after everything else; of several versions the one that is asked for is taken.
 */
export function platformRank(wanted: Platform, offered: Platform): number | undefined {
  if (offered.os !== wanted.os || offered.architecture !== wanted.architecture) return undefined;
  const [has, needs] = [variantNumber(wanted), variantNumber(offered)];
  const known = !Number.isNaN(has) && !Number.isNaN(needs);
  if (known ? needs > has : wanted.variant !== offered.variant) return undefined;
  const there = new Set(wanted["os.features"]);
  const lacks = offered["os.features"]?.some((feature) => !there.has(feature)) === true;
  return (lacks ? 0 : 1_000_000) + (known ? needs : 0) * 3 + versionRank(wanted, offered);
}
