import { parseArgs } from "node:util";
import { TripodError } from "@tripod/base";
import type { Patience } from "./dhcp-client.ts";
import { defaultSocketPath } from "./dhcp-config.ts";

/** What `dhcp daemon` is told on its command line; the flags are upstream's. */
export interface DaemonOptions {
  readonly socketPath: string;
  readonly hostPrefix: string;
  readonly pidFile: string | undefined;
  readonly broadcast: boolean;
  readonly patience: Patience;
}

/** The whole of an ADD fits the minute that runtimes give a plugin, and a bridge's port has 30 s to begin to forward. */
export const defaultPatience: Patience = { totalMs: 50_000, answerMs: 10_000, resendMs: 16_000 };

export const daemonUsage = `Keeps the leases of the CNI plugin dhcp: gets them, renews them, gives them back.

Usage: dhcp daemon [flags]
  --socketpath PATH        where plugins reach it (${defaultSocketPath})
  --hostprefix PATH        put before the paths of namespaces and of the socket, where the host's root is mounted
  --pidfile PATH           write the process id there
  --broadcast              have servers answer to everyone: for interfaces that share a MAC, as ipvlan's do
  --timeout DURATION       how long a server may take to answer a request (10s)
  --resendmax DURATION     the longest pause between two messages (16s)
  --resendtimeout DURATION how long ADD tries in all (50s)
  --help                   this text

Example: dhcp daemon --resendtimeout 30s
`;

const units: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** "1m30s", as Go writes durations, in milliseconds. */
function milliseconds(flag: string, text: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)];
  const ms = parts.reduce((sum, [, count = "0", unit = ""]) => sum + Number(count) * (units[unit] ?? 0), 0);
  if (ms > 0 && parts.map(([whole]) => whole).join("") === text) return ms;
  throw new TripodError("invalid", `--${flag} ${JSON.stringify(text)}: no duration such as 10s or 1m30s`);
}

const absolute = (flag: string, path: string): string => {
  if (path.startsWith("/")) return path;
  throw new TripodError("invalid", `--${flag} ${JSON.stringify(path)}: not an absolute path`);
};

/** Reads the words after `dhcp daemon`; "help" where that is asked for. Throws "invalid". */
export function parseDaemonOptions(words: readonly string[]): DaemonOptions | "help" {
  let values;
  try {
    // Go's flags may have one hyphen.
    const args = words.map((word) => word.replace(/^-(?=[a-z]{2})/, "--"));
    ({ values } = parseArgs({
      args,
      options: {
        socketpath: { type: "string" },
        hostprefix: { type: "string" },
        pidfile: { type: "string" },
        broadcast: { type: "boolean" },
        timeout: { type: "string" },
        resendmax: { type: "string" },
        resendtimeout: { type: "string" },
        help: { type: "boolean" },
      },
    }));
  } catch (error) {
    throw new TripodError("invalid", error instanceof Error ? error.message : "bad flags", { cause: error });
  }
  if (values.help === true) return "help";
  const duration = (flag: "timeout" | "resendmax" | "resendtimeout", fallback: number): number =>
    values[flag] === undefined ? fallback : milliseconds(flag, values[flag]);
  const hostPrefix = (values.hostprefix ?? "").replace(/\/+$/, "");
  return {
    hostPrefix: hostPrefix === "" ? "" : absolute("hostprefix", hostPrefix),
    socketPath: `${hostPrefix}${absolute("socketpath", values.socketpath ?? defaultSocketPath)}`,
    pidFile: values.pidfile === undefined ? undefined : absolute("pidfile", values.pidfile),
    broadcast: values.broadcast === true,
    patience: {
      totalMs: duration("resendtimeout", defaultPatience.totalMs),
      answerMs: duration("timeout", defaultPatience.answerMs),
      resendMs: duration("resendmax", defaultPatience.resendMs),
    },
  };
}
