import { chmodSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { once } from "node:events";
import { codeOf, type Logger, messageOf, TripodError } from "@tripod/base";
import { CniError, cniCodes } from "@tripod/cni/sdk";
import type { FileLock } from "@tripod/linux";
import { LeaseKeeper, type LeaseKeeperOptions } from "./lease-keeper.ts";
import { connectTo, isAbsent } from "./lease-client.ts";
import { type Answer, maxLineBytes, parseLine, type Question, tooLong } from "./lease-protocol.ts";
import { leasesDir, lockLeases } from "./lease-store.ts";
import type { LeaseTerms } from "./lease-terms.ts";

export interface LeaseServerOptions extends Pick<LeaseKeeperOptions, "log" | "patience" | "broadcast" | "hostPrefix"> {
  readonly socketPath: string;
  /** A socket that listens already, from the one that started this process (sd_listen_fds(3)). */
  readonly listenFd?: number;
}

/** Keeps leases for the plugins that ask on a socket. */
export class LeaseServer implements AsyncDisposable {
  readonly #server: Server;
  readonly #keeper: LeaseKeeper;
  readonly #lock: FileLock;
  readonly #log: Logger;
  readonly #clients = new Set<Socket>();

  private constructor(keeper: LeaseKeeper, lock: FileLock, log: Logger) {
    this.#keeper = keeper;
    this.#lock = lock;
    this.#log = log;
    this.#server = createServer((socket) => this.#serve(socket));
  }

  /** "already-exists" when another daemon listens there, or keeps the same leases. */
  static async start(options: LeaseServerOptions): Promise<LeaseServer> {
    const { socketPath, listenFd, log } = options;
    const taken = (why: string): TripodError =>
      new TripodError(
        "already-exists",
        `DHCP daemon on ${socketPath}: ${why}; end that one, or listen on another socket`,
      );
    const lock = lockLeases(socketPath);
    if (lock === undefined) throw taken("another one keeps its leases");
    try {
      if (listenFd === undefined && (await isListening(socketPath))) throw taken("another one listens there");
      const server = new LeaseServer(new LeaseKeeper({ ...options, dir: leasesDir(socketPath) }), lock, log);
      if (listenFd === undefined) {
        rmSync(socketPath, { force: true }); // of one that was killed
        server.#server.listen(socketPath);
      } else server.#server.listen({ fd: listenFd });
      await once(server.#server, "listening");
      if (listenFd === undefined) chmodSync(socketPath, 0o600);
      log.info({ socketPath }, "DHCP daemon listens");
      return server;
    } catch (error) {
      lock[Symbol.dispose]();
      throw error;
    }
  }

  #serve(socket: Socket): void {
    const gone = new AbortController();
    let text = "";
    this.#clients.add(socket);
    socket.setEncoding("utf8");
    socket.on("error", (error) => this.#log.debug({ error: messageOf(error) }, "a plugin's connection broke"));
    socket.on("close", () => {
      this.#clients.delete(socket);
      gone.abort(new TripodError("cancelled", "the plugin that asked has gone"));
    });
    socket.on("data", (chunk: string) => {
      text += chunk;
      const end = text.indexOf("\n");
      if (end < 0 && text.length <= maxLineBytes) return;
      socket.removeAllListeners("data").resume();
      void this.#answer(end < 0 ? undefined : text.slice(0, end), gone.signal).then((answer) => {
        if (!gone.signal.aborted) socket.end(`${JSON.stringify(answer)}\n`);
      });
    });
  }

  async #answer(line: string | undefined, signal: AbortSignal): Promise<Answer> {
    try {
      if (line === undefined) throw tooLong();
      // Who may connect may be root on this machine: the shape is our own plugin's.
      const question = parseLine(line) as Question | undefined;
      const terms = question === undefined ? unknown() : await this.#do(question, signal);
      return terms === undefined ? {} : { terms };
    } catch (error) {
      const again = codeOf(error) === "unavailable" ? cniCodes.tryAgainLater : cniCodes.internal;
      return { error: { cniCode: error instanceof CniError ? error.cniCode : again, message: messageOf(error) } };
    }
  }

  async #do(question: Question, signal: AbortSignal): Promise<LeaseTerms | undefined> {
    switch (question.ask) {
      case "acquire":
        return this.#keeper.acquire(question.request, signal);
      case "check":
        return this.#keeper.check(question.key);
      case "release":
        await this.#keeper.release(question.key);
        return undefined;
      case "collect":
        await this.#keeper.collect(question.network, question.valid);
        return undefined;
      case "status":
        return undefined;
      default:
        return unknown();
    }
  }

  /** Gives no lease back: who starts on the same socket next goes on with them. */
  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    for (const client of this.#clients) client.destroy();
    await Promise.all([closed, this.#keeper[Symbol.asyncDispose]()]);
    this.#lock[Symbol.dispose]();
  }
}

function unknown(): never {
  throw new CniError(
    cniCodes.decoding,
    "DHCP daemon: what it is asked for, it does not know; it is of another version",
  );
}

async function isListening(socketPath: string): Promise<boolean> {
  try {
    (await connectTo(socketPath)).destroy();
    return true;
  } catch (error) {
    if (isAbsent(error)) return false;
    throw error;
  }
}
