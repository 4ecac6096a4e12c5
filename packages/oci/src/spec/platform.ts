import { arch } from "node:process";
import { TripodError } from "@tripod/base";
import { objectAt, optionalStringAt } from "./json.ts";

/** Names are Go's (OCI image spec, image-index.md). */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
  readonly "os.version"?: string;
}

export function parsePlatformObject(value: unknown, where: string): Platform {
  const object = objectAt(value, where);
  const variant = optionalStringAt(object.variant, `${where}.variant`);
  const version = optionalStringAt(object["os.version"], `${where}.os.version`);
  return {
    os: optionalStringAt(object.os, `${where}.os`) ?? "",
    architecture: optionalStringAt(object.architecture, `${where}.architecture`) ?? "",
    ...(variant === undefined || variant === "" ? {} : { variant }),
    ...(version === undefined || version === "" ? {} : { "os.version": version }),
  };
}

const goNames: Readonly<Record<string, string>> = { x64: "amd64", ia32: "386", ppc64: "ppc64le", mips: "mipsle" };

/** What this machine runs. */
export function hostPlatform(): Platform {
  const architecture = goNames[arch] ?? arch;
  return { os: "linux", architecture, ...(architecture === "arm" ? { variant: "v7" } : {}) };
}

/** Reads "os/arch[/variant]"; undefined is this machine's. */
export function parsePlatform(text: string | undefined): Platform {
  if (text === undefined || text === "") return hostPlatform();
  const [os, architecture, variant, ...rest] = text.split("/");
  if (!os || !architecture || rest.length > 0 || !/^[a-z0-9_./-]+$/.test(text)) {
    throw new TripodError("invalid", `platform ${JSON.stringify(text)}: must look like linux/amd64 or linux/arm/v7`);
  }
  return { os, architecture, ...(variant === undefined || variant === "" ? {} : { variant }) };
}

export const formatPlatform = (platform: Platform): string =>
  [platform.os, platform.architecture, platform.variant].filter((part) => part !== undefined && part !== "").join("/");

const defaultVariant: Readonly<Record<string, string>> = { arm: "v7", arm64: "v8", amd64: "v1" };
const variantNumber = (platform: Platform): number =>
  Number(/^v(\d+)$/.exec(platform.variant ?? defaultVariant[platform.architecture] ?? "v0")?.[1] ?? Number.NaN);

/**
 * How well what is `offered` runs on what is `wanted`: undefined for not at all, else higher is better. A lower variant of the
 * same architecture runs (arm v6 on v7, amd64 v1 on v3), a higher one does not.
 */
export function platformRank(wanted: Platform, offered: Platform): number | undefined {
  if (offered.os !== wanted.os || offered.architecture !== wanted.architecture) return undefined;
  const [has, needs] = [variantNumber(wanted), variantNumber(offered)];
  if (Number.isNaN(has) || Number.isNaN(needs)) return wanted.variant === offered.variant ? 0 : undefined;
  return needs <= has ? needs : undefined;
}
