import { readCgroupFile } from "./cgroup-file.ts";

/** How long tasks were held up for want of something (Documentation/accounting/psi.rst). */
export interface PressureLine {
  readonly totalUs: bigint;
  /** Percent of the last 10, 60 and 300 seconds. */
  readonly avg10: number;
  readonly avg60: number;
  readonly avg300: number;
}

/** "some": at least one task waited; "full": all of them. */
export interface Pressure {
  readonly some: PressureLine;
  readonly full: PressureLine;
}

const nothing: PressureLine = { totalUs: 0n, avg10: 0, avg60: 0, avg300: 0 };

/** Parses "some avg10=0.00 avg60=0.00 avg300=0.00 total=0" and the same for "full", which older kernels leave out for CPU. */
export function parsePressure(text: string): Pressure {
  const lines = new Map<string, PressureLine>();
  for (const line of text.split("\n")) {
    const [kind = "", ...pairs] = line.split(" ");
    const values = new Map(pairs.map((pair) => pair.split("=")).map(([name = "", value = "0"]) => [name, value]));
    const average = (name: string): number => Number(values.get(name) ?? 0);
    lines.set(kind, {
      totalUs: BigInt(values.get("total") ?? 0),
      avg10: average("avg10"),
      avg60: average("avg60"),
      avg300: average("avg300"),
    });
  }
  return { some: lines.get("some") ?? nothing, full: lines.get("full") ?? nothing };
}

/** The group's pressure; undefined on version 1, and where the kernel counts none. */
export function readPressure(folder: string, resource: "cpu" | "memory" | "io"): Pressure | undefined {
  const text = readCgroupFile(folder, `${resource}.pressure`);
  return text === undefined ? undefined : parsePressure(text);
}
