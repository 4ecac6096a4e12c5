import { readFileSync } from "node:fs";
import { TripodError } from "@tripod/base";
import type { RlimitSpec } from "./runtime-spec.ts";

/** A limit of each kind; "unlimited" is as much as there can be. */
export interface RlimitValues {
  readonly soft: number | "unlimited";
  readonly hard: number | "unlimited";
}
/** By name: "nofile", "NOFILE" or "RLIMIT_NOFILE". */
export type RlimitRequest = Readonly<Record<string, RlimitValues>>;

/** getrlimit(2)'s limits, with the names under which /proc/PID/limits shows them. */
const shown: Readonly<Record<string, string>> = {
  RLIMIT_AS: "Max address space",
  RLIMIT_CORE: "Max core file size",
  RLIMIT_CPU: "Max cpu time",
  RLIMIT_DATA: "Max data size",
  RLIMIT_FSIZE: "Max file size",
  RLIMIT_LOCKS: "Max file locks",
  RLIMIT_MEMLOCK: "Max locked memory",
  RLIMIT_MSGQUEUE: "Max msgqueue size",
  RLIMIT_NICE: "Max nice priority",
  RLIMIT_NOFILE: "Max open files",
  RLIMIT_NPROC: "Max processes",
  RLIMIT_RSS: "Max resident set",
  RLIMIT_RTPRIO: "Max realtime priority",
  RLIMIT_RTTIME: "Max realtime timeout",
  RLIMIT_SIGPENDING: "Max pending signals",
  RLIMIT_STACK: "Max stack size",
};

/** JSON carries no larger whole number exactly; 9 PB and 9 * 10^15 files are no limit to anybody. */
const unlimited = Number.MAX_SAFE_INTEGER;

/** The hard limits of this process, out of the text of /proc/self/limits. */
export function hardLimits(text: string): Map<string, number> {
  const limits = new Map<string, number>();
  for (const [type, label] of Object.entries(shown)) {
    const line = text.split("\n").find((candidate) => candidate.startsWith(label));
    const hard = line?.slice(label.length).trim().split(/\s+/)[1];
    if (hard !== undefined) limits.set(type, hard === "unlimited" ? unlimited : Number(hard));
  }
  return limits;
}

const fullName = (name: string): string => {
  const upper = name.toUpperCase();
  return upper.startsWith("RLIMIT_") ? upper : `RLIMIT_${upper}`;
};

export const isRlimit = (name: string): boolean => Object.hasOwn(shown, fullName(name));

export function rlimitType(name: string): string {
  const type = fullName(name);
  if (!isRlimit(name)) throw new TripodError("invalid", `rlimits: ${JSON.stringify(name)} is no limit of Linux`);
  return type;
}

function valueOf(name: string, value: number | "unlimited"): number {
  if (value === "unlimited") return unlimited;
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new TripodError("invalid", `rlimits: ${name}: ${value} is neither a whole number from 0 on nor "unlimited"`);
  }
  return value;
}

export interface RlimitAbilities {
  /** Whether limits may be raised. */
  readonly sysResource: boolean;
  /** The text of /proc/self/limits. */
  readonly own?: string;
  /** fs.nr_open, above which no limit of open files can be. */
  readonly maxOpenFiles?: number;
}

/** `process.rlimits`. What this process cannot give, for want of CAP_SYS_RESOURCE or because the kernel has less, it gives in part. */
export function buildRlimits(request: RlimitRequest, have: RlimitAbilities): RlimitSpec[] {
  const entries = Object.entries(request);
  if (entries.length === 0) return [];
  const own = hardLimits(have.own ?? readFileSync("/proc/self/limits", "utf8"));
  const maxOpenFiles = have.maxOpenFiles ?? Number(readFileSync("/proc/sys/fs/nr_open", "utf8"));
  const limits = entries.map(([name, { soft, hard }]): RlimitSpec => {
    const type = rlimitType(name);
    const wanted = { soft: valueOf(name, soft), hard: valueOf(name, hard) };
    if (wanted.soft > wanted.hard) {
      throw new TripodError("invalid", `rlimits: ${name}: the soft limit ${soft} is above the hard limit ${hard}`);
    }
    const most = Math.min(
      type === "RLIMIT_NOFILE" ? maxOpenFiles : unlimited,
      have.sysResource ? unlimited : (own.get(type) ?? unlimited),
    );
    return { type, soft: Math.min(wanted.soft, most), hard: Math.min(wanted.hard, most) };
  });
  const twice = limits.find(({ type }, index) => limits.findIndex((other) => other.type === type) !== index);
  if (twice !== undefined) throw new TripodError("invalid", `rlimits: ${twice.type} is there twice`);
  return limits;
}

/** "nofile=1024:4096,memlock=unlimited" as a request: name=soft[:hard], separated by commas. */
export function parseRlimits(text: string): RlimitRequest {
  if (text.length > 4096) throw new TripodError("invalid", "rlimits: the text is longer than 4096 characters");
  const request: Record<string, RlimitValues> = {};
  for (const part of text.split(",")) {
    const match = /^\s*(\w+)=(\d{1,15}|unlimited)(?::(\d{1,15}|unlimited))?\s*$/.exec(part);
    const [, name, soft, hard] = match ?? [];
    if (name === undefined || soft === undefined) {
      throw new TripodError("invalid", `rlimits: ${JSON.stringify(part)} is not of the form NAME=SOFT[:HARD]`);
    }
    const value = (word: string): number | "unlimited" => (word === "unlimited" ? word : Number(word));
    request[rlimitType(name)] = { soft: value(soft), hard: value(hard ?? soft) };
  }
  return request;
}
