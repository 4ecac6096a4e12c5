import { CniError, cniCodes } from "./cni-error.ts";
import { type ExecOptions, execPlugin, execVersion } from "./exec-plugin.ts";
import { findPlugin, isOwnPlugin } from "./find-plugin.ts";
import type { JsonObject } from "./json.ts";
import type { CniPlugin } from "./plugin.ts";
import type { PluginRequest } from "./plugin-request.ts";
import { runPlugin } from "./run-plugin.ts";

/** How a plugin is reached. */
export type LocatedPlugin =
  | { readonly kind: "in-process"; readonly plugin: CniPlugin }
  | { readonly kind: "executable"; readonly file: string };

/** Stands around every call of a plugin, delegates included; for spans. */
export type ObserveCall = (
  located: LocatedPlugin,
  type: string,
  request: PluginRequest,
  run: (options: ExecOptions) => Promise<JsonObject | undefined>,
) => Promise<JsonObject | undefined>;

export interface PluginInvokerOptions {
  /** Where executables are looked for, in order. */
  readonly binDirs: readonly string[];
  /** Plugins that can run in this process, by type. */
  readonly plugins: ReadonlyMap<string, CniPlugin>;
  readonly observe?: ObserveCall;
}

/**
 * Calls plugins by type, in this process where it may. One of the given map runs in process unless the user has put a foreign
 * executable of that name into the first folder of binDirs (the one that `tripod cni install` writes): that one wins. Whose an
 * executable is, its marker says. A type outside the map is the first executable found.
 */
export class PluginInvoker {
  readonly #options: PluginInvokerOptions;

  constructor(options: PluginInvokerOptions) {
    this.#options = options;
  }

  locate(type: string): LocatedPlugin {
    const { binDirs, plugins } = this.#options;
    const plugin = plugins.get(type);
    if (plugin !== undefined) {
      const first = findPlugin(type, binDirs.slice(0, 1));
      if (first === undefined || isOwnPlugin(first)) return { kind: "in-process", plugin };
      return { kind: "executable", file: first };
    }
    const file = findPlugin(type, binDirs);
    if (file !== undefined) return { kind: "executable", file };
    throw new CniError(
      cniCodes.pluginNotAvailable,
      `plugin ${type}: no such executable in ${binDirs.join(", ")}; install it there`,
    );
  }

  /** What the plugin printed on ADD, or would have; undefined for every other command. */
  async invoke(type: string, request: PluginRequest): Promise<JsonObject | undefined> {
    const located = this.locate(type);
    const run = (options: ExecOptions): Promise<JsonObject | undefined> =>
      located.kind === "in-process"
        ? this.invokeOwn(located.plugin, request)
        : execPlugin(located.file, request, options);
    return this.#options.observe === undefined ? run({}) : this.#options.observe(located, type, request, run);
  }

  /** As invoke(), for `plugin` itself whatever stands in the folders: what an executable does with its own name. */
  invokeOwn(plugin: CniPlugin, request: PluginRequest): Promise<JsonObject | undefined> {
    return runPlugin(plugin, request, (delegate, inner) => this.invoke(delegate, inner));
  }

  /** The versions of the specification that the plugin speaks. */
  async versions(type: string, signal: AbortSignal): Promise<readonly string[]> {
    const located = this.locate(type);
    return located.kind === "in-process" ? located.plugin.versions : execVersion(located.file, signal);
  }
}
