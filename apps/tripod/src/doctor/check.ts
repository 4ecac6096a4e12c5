import { messageOf } from "@tripod/base";

/** One thing that was looked at. */
export interface Check {
  readonly name: string;
  /** "warn": a node runs, but something will be missed. "fail": Pods will not run. */
  readonly status: "ok" | "warn" | "fail";
  /** What is there. */
  readonly found: string;
  /** What to do about it; absent when all is well. */
  readonly remedy?: string;
}

export const ok = (name: string, found: string): Check => ({ name, status: "ok", found });
export const warn = (name: string, found: string, remedy: string): Check => ({ name, status: "warn", found, remedy });
export const fail = (name: string, found: string, remedy: string): Check => ({ name, status: "fail", found, remedy });

/** Runs a probe whose throwing means that the thing is not there: `found` when it works, else `otherwise` with the reason. */
export async function probe(
  name: string,
  options: {
    readonly run: () => Promise<void> | void;
    readonly found: string;
    readonly otherwise: "warn" | "fail";
    readonly remedy: string;
  },
): Promise<Check> {
  try {
    await options.run();
    return ok(name, options.found);
  } catch (error) {
    return { name, status: options.otherwise, found: messageOf(error), remedy: options.remedy };
  }
}
