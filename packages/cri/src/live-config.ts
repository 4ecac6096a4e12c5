import { isDeepStrictEqual } from "node:util";
import { messageOf } from "@tripod/base";
import type { CriConfig } from "./cri-config.ts";
import type { Handler } from "./runtime/handler.ts";

/** Settings that something was built from which cannot be built anew under running containers and streams. */
const fixed = ["streamingAddress", "cgroupDriver", "cdiSpecDirs", "selinux", "metrics", "nri", "snapshotter"] as const;

const isFixed = (key: string): boolean => fixed.some((each) => each === key);
const without = (config: CriConfig): CriConfig =>
  Object.fromEntries(Object.entries(config).filter(([key]) => !isFixed(key)));
const only = (config: CriConfig): CriConfig =>
  Object.fromEntries(Object.entries(config).filter(([key]) => isFixed(key)));

/** How the last attempt to load a configuration went, as Status tells it. */
export interface ConfigState {
  /** Why the newest configuration is not in force; undefined when it is. */
  readonly refused: string | undefined;
  /** Settings that have changed and wait for a restart of the server. */
  readonly needsRestart: readonly string[];
}

/** The configuration in force, and the handlers that follow from it. Both change in one step, or not at all. */
export class LiveConfig {
  readonly #makeHandlers: (config: CriConfig) => Map<string, Handler>;
  #config: CriConfig;
  #handlers: ReadonlyMap<string, Handler>;
  #state: ConfigState = { refused: undefined, needsRestart: [] };

  constructor(config: CriConfig, makeHandlers: (config: CriConfig) => Map<string, Handler>) {
    this.#makeHandlers = makeHandlers;
    this.#config = config;
    this.#handlers = makeHandlers(config);
  }

  get config(): CriConfig {
    return this.#config;
  }

  get handlers(): ReadonlyMap<string, Handler> {
    return this.#handlers;
  }

  get state(): ConfigState {
    return this.#state;
  }

  /**
   * Puts what `read` returns in force for everything that is made from now on; the settings that wait for a restart. When `read` throws, or
   * the handlers cannot be, the old configuration stays, and the error is thrown on.
   */
  reload(read: () => CriConfig): readonly string[] {
    try {
      const wanted = read();
      const needsRestart = fixed.filter((key) => !isDeepStrictEqual(wanted[key], this.#config[key]));
      const { onPodCidr } = this.#config; // the program's, not the file's
      const next = { ...without(wanted), ...only(this.#config), ...(onPodCidr !== undefined && { onPodCidr }) };
      const made = this.#makeHandlers(next);
      this.#handlers = new Map([...made].map(([name, handler]) => [name, this.#keptHandler(name, handler, next)]));
      this.#config = next;
      this.#state = { refused: undefined, needsRestart };
      return needsRestart;
    } catch (error) {
      this.#state = { ...this.#state, refused: messageOf(error) };
      throw error;
    }
  }

  /** A handler that stays as it was keeps what it holds. */
  #keptHandler(name: string, handler: Handler, next: CriConfig): Handler {
    const old = this.#handlers.get(name);
    const same = old?.name === handler.name && isDeepStrictEqual(old.settings, handler.settings);
    return same && next.conmon === this.#config.conmon && next.criu === this.#config.criu ? old : handler;
  }
}
