import { watch } from "node:fs";
import { basename, dirname } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { type LevelledLogger, type Layout, messageOf } from "@tripod/base";
import type { CriServer } from "@tripod/cri";
import { type Config, loadConfig } from "./config.ts";

/** An editor's write comes as several events: truncated, written, renamed. */
const settleMs = 100;

/** What only the start of the process uses. */
const startOnly = ["nodeName", "apiserver", "network"] as const;

export interface FollowConfigOptions {
  readonly layout: Layout;
  readonly log: LevelledLogger;
  /** The one that the process was started with. */
  readonly config: Config;
  /** Absent where another CRI runtime serves. */
  readonly cri: CriServer | undefined;
  /** Given on the command line, which goes before the file. */
  readonly logLevel: Config["logLevel"] | undefined;
}

/**
 * Loads the configuration anew when its file changes and on SIGHUP: log level and runtime handlers are in force at once, what waits for a
 * restart is named in the log, and a wrong file changes nothing. On a terminal SIGHUP keeps its meaning: the terminal is gone.
 */
export function followConfig(options: FollowConfigOptions, stack: AsyncDisposableStack): void {
  const { layout, log, config: first, cri } = options;
  const file = layout.configFile;
  let inForce = first;
  const reload = (): void => {
    let wanted = inForce;
    let waiting: readonly string[] = [];
    const read = (): Config["cri"] => {
      wanted = loadConfig(layout);
      return wanted.cri;
    };
    try {
      if (cri === undefined) read();
      else waiting = cri.reload(read);
    } catch (error) {
      const problem = messageOf(error);
      log.error({ file, problem }, "configuration: refused; the old one stays in force");
      return;
    }
    log.setLevel(options.logLevel ?? wanted.logLevel);
    const needsRestart = [
      ...startOnly.filter((key) => !isDeepStrictEqual(wanted[key], first[key])),
      ...waiting.map((key) => `cri.${key}`),
    ];
    log.info({ file, needsRestart, changed: !isDeepStrictEqual(wanted, inForce) }, "configuration: loaded anew");
    inForce = wanted;
  };
  let settling: NodeJS.Timeout | undefined;
  // The folder, for the file may be replaced by a rename.
  const watcher = watch(dirname(file), (_event, name) => {
    if (name !== null && name !== basename(file)) return;
    clearTimeout(settling);
    settling = setTimeout(reload, settleMs);
  });
  watcher.on("error", (error) => log.warn({ file, problem: messageOf(error) }, "configuration: cannot be watched"));
  stack.defer(() => {
    watcher.close();
    clearTimeout(settling);
  });
  if (process.stdout.isTTY) return;
  process.on("SIGHUP", reload);
  stack.defer(() => void process.off("SIGHUP", reload));
}
