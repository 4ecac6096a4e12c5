import type { DryRun } from "./dry-run.ts";
import type { NetworkChange } from "./network-facts.ts";

const lines = (title: string, { added, removed }: NetworkChange): readonly string[] => [
  title,
  ...(added.length + removed.length === 0 ? ["  nothing"] : []),
  ...removed.map((fact) => `  - ${fact}`),
  ...added.map((fact) => `  + ${fact}`),
];

/** The plan as text. */
export const dryRunText = ({ host, container, files, notCopied }: DryRun, netns: string | undefined): string =>
  [
    ...lines("HOST", host),
    ...(container === undefined ? [] : lines(`CONTAINER ${netns ?? ""}`, container)),
    ...lines("FILES", files),
    ...notCopied.map((what) => `not copied, so perhaps otherwise: ${what}`),
  ].join("\n");
