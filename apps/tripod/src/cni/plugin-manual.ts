import { readFileSync } from "node:fs";
import { join } from "node:path";
import { TripodError } from "@tripod/base";
import { ownPlugins } from "@tripod/plugin-bundle";
import { installationDir } from "../installation.ts";

/** A key of a plugin's configuration, or several that belong together. */
export interface KeyManual {
  readonly keys: readonly string[];
  /** "key", "key of `ipam`", "capability", … */
  readonly place: string;
  readonly what: string;
  readonly fallback: string | undefined;
}

/** What a plugin's README says of it. */
export interface PluginManual {
  readonly name: string;
  readonly summary: string;
  readonly keys: readonly KeyManual[];
}

const cells = (line: string): readonly string[] =>
  line
    .slice(1, -1)
    .split("|")
    .map((cell) => cell.trim());

/** Reads the paragraph under the title, and the tables whose first column is of keys. */
export function parseManual(name: string, readme: string): PluginManual {
  const lines = readme.split("\n");
  const first = lines.findIndex((line, at) => at > 0 && line !== "");
  const end = lines.findIndex((line, at) => at > first && line === "");
  const keys: KeyManual[] = [];
  let header: readonly string[] = [];
  for (const [at, line] of lines.entries()) {
    if (!line.startsWith("|")) header = [];
    else if (header.length === 0) header = cells(line);
    else if (
      lines[at - 1]?.startsWith("|") === true &&
      !line.startsWith("|---") &&
      header[0]?.startsWith("key") === true
    ) {
      const row = cells(line);
      const column = (wanted: (title: string) => boolean): string | undefined => row[header.findIndex(wanted)];
      const [cell = ""] = row;
      const named = [...cell.matchAll(/`([^`]+)`/g)].map(([, key = ""]) => key);
      const place = cell.startsWith("`") ? (header[0] ?? "") : (cell.split("`")[0] ?? "").trim();
      const fallback = column((title) => title === "default");
      keys.push({
        keys: named,
        place,
        what: column((title) => title === "what" || title === "") ?? "",
        fallback: fallback === "" ? undefined : fallback,
      });
    }
  }
  return { name, summary: lines.slice(first, end).join(" "), keys };
}

/** "not-found" for a plugin that is none of Tripod's. */
export function pluginManual(name: string): PluginManual {
  if (!ownPlugins.has(name))
    throw new TripodError(
      "not-found",
      `explain ${name}: none of Tripod's plugins, which are ${[...ownPlugins.keys()].join(", ")}`,
    );
  return parseManual(name, readFileSync(join(installationDir, "plugins", name, "README.md"), "utf8"));
}
