import { once } from "node:events";
import { rmSync, writeFileSync } from "node:fs";
import { messageOf } from "@tripod/base";
import { daemonUsage, parseDaemonOptions } from "./daemon-options.ts";
import { LeaseServer } from "./lease-server.ts";
import { lineLogger } from "./line-logger.ts";

/** The first descriptor that a service manager hands on (sd_listen_fds(3)). */
const firstListenFd = 3;

/** The socket that a service manager has made, if it is meant for this process. */
function handedSocket(): number | undefined {
  const { LISTEN_PID, LISTEN_FDS } = process.env;
  return LISTEN_PID === String(process.pid) && LISTEN_FDS === "1" ? firstListenFd : undefined;
}

/** `dhcp daemon` with the words after that: runs until SIGTERM or SIGINT, and gives no lease back then. Resolves with the exit code. */
export async function runDhcpDaemon(words: readonly string[]): Promise<0 | 1> {
  try {
    const options = parseDaemonOptions(words);
    if (options === "help") {
      writeFileSync(1, daemonUsage);
      return 0;
    }
    const { pidFile } = options;
    const listenFd = handedSocket();
    await using _server = await LeaseServer.start({
      ...options,
      log: lineLogger(),
      ...(listenFd === undefined ? {} : { listenFd }),
    });
    if (pidFile !== undefined) writeFileSync(pidFile, `${process.pid}`);
    await Promise.race(["SIGTERM", "SIGINT"].map((signal) => once(process, signal)));
    if (pidFile !== undefined) rmSync(pidFile, { force: true });
    return 0;
  } catch (error) {
    writeFileSync(2, `dhcp daemon: ${messageOf(error)}\n`);
    return 1;
  }
}
