import { type FSWatcher, existsSync, mkdirSync, watch } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Registration } from "@tripod/api/plugin-registration";
import { Backoff, type Logger, messageOf, TaskOwner } from "@tripod/base";
import { type GrpcServer, implement, serveGrpc } from "@tripod/grpc";

export interface RegistrationOptions {
  /** The kubelet's plugins_registry. */
  readonly dir: string;
  readonly driverName: string;
  /** The driver's own socket, as the kubelet reaches it. */
  readonly endpoint: string;
  readonly log: Logger;
}

/** Offers the driver to the kubelet through a socket in its registry folder, made again whenever it, or the whole folder, vanishes. */
export class DriverRegistration implements AsyncDisposable {
  readonly socket: string;
  readonly #options: RegistrationOptions;
  readonly #owner: TaskOwner;
  #server: GrpcServer | undefined;
  #watcher: FSWatcher | undefined;
  #changed = Promise.withResolvers<void>();

  constructor(options: RegistrationOptions) {
    this.#options = options;
    this.socket = join(options.dir, `${options.driverName}-reg.sock`);
    this.#owner = new TaskOwner("CSI registration", options.log);
  }

  /** Resolves when the socket is there for the first time; from then on it is kept there. */
  async start(): Promise<void> {
    await this.#serve();
    this.#owner.run("keep the socket", (signal) => this.#keep(signal));
  }

  async #keep(signal: AbortSignal): Promise<void> {
    const stopped = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    const backoff = new Backoff({ initialMs: 50, maxMs: 5_000 });
    while (!signal.aborted) {
      const changed = this.#changed.promise;
      if (existsSync(this.socket) && this.#watcher !== undefined) await Promise.race([changed, stopped]);
      if (signal.aborted) return;
      if (existsSync(this.socket) && this.#watcher !== undefined) continue;
      try {
        await this.#serve();
        backoff.reset();
        this.#options.log.info({ socket: this.socket }, "registration socket was gone; made again");
      } catch (error) {
        this.#options.log.warn({ socket: this.socket, error: messageOf(error) }, "registration socket cannot be made");
        await delay(backoff.next(), undefined, { signal });
      }
    }
  }

  async #serve(): Promise<void> {
    await this.#server?.[Symbol.asyncDispose]();
    this.#server = undefined;
    this.#watcher?.close();
    this.#watcher = undefined;
    mkdirSync(this.#options.dir, { recursive: true });
    // The watch comes first: what happens after it is seen.
    const watcher = watch(this.#options.dir, (event, name) => {
      if (event === "rename") this.#wake(name);
    });
    watcher.on("error", () => this.#wake(null));
    this.#watcher = watcher;
    const { driverName, endpoint, log } = this.#options;
    this.#server = await serveGrpc({
      socket: this.socket,
      services: [
        implement(Registration, {
          async getInfo() {
            return { type: "CSIPlugin", name: driverName, endpoint, supportedVersions: ["1.0.0"] };
          },
          async notifyRegistrationStatus({ pluginRegistered, error }) {
            if (pluginRegistered) log.info({ driver: driverName }, "registered with the kubelet");
            else log.error({ driver: driverName, error }, "the kubelet refused the registration");
            return {};
          },
        }),
      ],
    });
  }

  /** The folder's own removal is reported under its name, or none. */
  #wake(name: string | null): void {
    if (name !== null && !existsSync(this.#options.dir)) {
      this.#watcher?.close();
      this.#watcher = undefined;
    }
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owner.stop();
    this.#watcher?.close();
    await this.#server?.[Symbol.asyncDispose]();
  }
}
