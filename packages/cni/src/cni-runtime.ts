import { failpoint, type Logger, messageOf, TripodError } from "@tripod/base";
import { bringUpLoopback, namespaceExists } from "@tripod/linux";
import { currentTraceparent, withSpan } from "@tripod/trace";
import { AttachmentGate } from "./attachment-gate.ts";
import { addChain, type ChainCall, checkChain, deleteChain, everyPlugin } from "./chain.ts";
import { CniError, cniCodes } from "./cni-error.ts";
import { ConfWatch, type NetworkStatus } from "./conf-watch.ts";
import type { JsonObject, JsonValue } from "./json.ts";
import { checkContainerId, checkInterfaceName } from "./names.ts";
import type { NetworkConfig } from "./network-config.ts";
import type { AttachmentKey, CniCommand, CniPlugin } from "./plugin.ts";
import { type ObserveCall, PluginInvoker } from "./plugin-invoker.ts";
import type { PluginRequest } from "./plugin-request.ts";
import { type CachedAttachment, ResultCache } from "./result-cache.ts";
import type { CniResult } from "./result.ts";
import { atLeast } from "./version.ts";

export interface CniRuntimeOptions {
  /** The folder of network configurations; layout.cniConfDir. */
  readonly confDir: string;
  /** Where plugin executables are looked for, in order; layout.cniBinDirs. */
  readonly binDirs: readonly string[];
  /** libcni's result cache; layout.cniCacheDir. */
  readonly cacheDir: string;
  /** Plugins that run in this process, by type; see PluginInvoker for when a user's executable takes their place. */
  readonly plugins?: ReadonlyMap<string, CniPlugin>;
  readonly log: Logger;
  /** After this long a foreign plugin's process group is killed; 60,000 unless told. */
  readonly pluginTimeoutMs?: number;
  /** Told of every call of a plugin, delegates included; what it returns is told how the call ended. */
  readonly onCall?: (call: PluginCallStart) => (end: PluginCallEnd) => void;
}

/** A call of a plugin that is about to begin. */
export interface PluginCallStart extends Pick<PluginRequest, "containerId" | "netns" | "ifname" | "args" | "stdin"> {
  readonly type: string;
  readonly command: CniCommand;
  /** The executable that is run; undefined for a plugin in this process. */
  readonly executable: string | undefined;
}

/** How a call of a plugin ended: with what it printed (ADD), with an error, or with neither. */
export interface PluginCallEnd {
  readonly stdout: JsonObject | undefined;
  readonly error: Error | undefined;
  readonly durationMs: number;
}

/** An interface of a container that is to be attached, checked or detached. */
export interface Attachment {
  readonly containerId: string;
  /** The network namespace's path. On del() it may be absent or gone. */
  readonly netns?: string;
  /** "eth0" unless told. */
  readonly ifname?: string;
  /** CNI_ARGS, such as K8S_POD_NAMESPACE. On del() and check() what add() was given is used where this is left out. */
  readonly args?: Readonly<Record<string, string>>;
  /** By capability, such as portMappings; each reaches the plugins that declare the capability. */
  readonly capabilityArgs?: Readonly<Record<string, JsonValue>>;
  readonly signal?: AbortSignal;
}

export interface CollectOptions {
  /** The attachments that live. A function is asked once no other operation runs, which leaves no gap for a new one. */
  readonly validAttachments: readonly AttachmentKey[] | (() => readonly AttachmentKey[]);
  readonly signal?: AbortSignal;
}

const neverAborted = new AbortController().signal;
const keyOf = ({ containerId, ifname = "eth0" }: Attachment): AttachmentKey => ({ containerId, ifname });
const encodeArgs = (pairs: readonly (readonly [string, string])[]): string =>
  pairs.map(([key, value]) => `${key}=${value}`).join(";");

/** Attaches containers to the network that a configuration folder names: libcni of specification 1.1.0. */
export class CniRuntime implements AsyncDisposable {
  readonly #options: CniRuntimeOptions;
  readonly #watch: ConfWatch;
  readonly #cache: ResultCache;
  readonly #invoker: PluginInvoker;
  readonly #gate = new AttachmentGate();

  constructor(options: CniRuntimeOptions) {
    this.#options = options;
    this.#watch = new ConfWatch(options.confDir, options.log);
    this.#cache = new ResultCache(options.cacheDir);
    this.#invoker = new PluginInvoker({
      binDirs: options.binDirs,
      plugins: options.plugins ?? new Map(),
      observe: this.#observe,
    });
  }

  /** Every plugin call is a span that holds what went in and what came out. */
  readonly #observe: ObserveCall = (located, type, request, run) => {
    const { command, stdin, containerId, netns, ifname, args } = request;
    const executable = located.kind === "executable" ? located.file : undefined;
    const tell = this.#options.onCall?.({ type, command, executable, containerId, netns, ifname, args, stdin });
    const startedMs = performance.now();
    const end = (stdout?: JsonObject, error?: Error): void =>
      tell?.({ stdout, error, durationMs: performance.now() - startedMs });
    return withSpan(
      `cni ${command} ${type}`,
      {
        "cni.plugin": type,
        "cni.command": command,
        "cni.in_process": located.kind === "in-process",
        ...(located.kind === "executable" ? { "cni.executable": located.file } : {}),
        ...(containerId === "" ? {} : { "container.id": containerId, "cni.ifname": ifname, "cni.netns": netns }),
        "cni.stdin": stdin,
      },
      async (span) => {
        const { pluginTimeoutMs } = this.#options;
        try {
          const result = await run({
            traceparent: currentTraceparent(),
            ...(pluginTimeoutMs === undefined ? {} : { timeoutMs: pluginTimeoutMs }),
          });
          if (result !== undefined) span.set({ "cni.stdout": result });
          end(result);
          return result;
        } catch (error) {
          end(undefined, error instanceof Error ? error : new Error(String(error)));
          throw error;
        }
      },
    );
  };

  /** Reads the configuration folder (made when absent) and follows it from then on. A wrong folder is no error: see status(). */
  load(): Promise<void> {
    return this.#watch.start();
  }

  /** Whether a network is configured; if not, why, with file and line. */
  status(): NetworkStatus {
    return this.#watch.status;
  }

  /** Calls back whenever status() has changed; returns what takes the callback away. */
  onStatusChange(listener: (status: NetworkStatus) => void): () => void {
    return this.#watch.onChange(listener);
  }

  /** status(), and on top of it what the plugins themselves answer to STATUS (from version 1.1.0 on). */
  async pluginStatus(options: { readonly signal?: AbortSignal } = {}): Promise<NetworkStatus> {
    const status = this.#watch.status;
    if (!status.ready || !atLeast(status.network.cniVersion, "1.1.0")) return status;
    const failures = await everyPlugin(this.#invoker, "STATUS", this.#bareCall(status.network, options.signal), {});
    if (failures.length === 0) return status;
    return {
      ready: false,
      reason: `network ${status.network.name} is not ready: ${failures.map(messageOf).join("; ")}`,
    };
  }

  /**
   * Brings `lo` up and runs ADD along the chain. After an error, or a crash, del() takes away whatever was made: the attachment
   * is on record before the first plugin runs. An attachment that exists is "already-exists".
   */
  async add(attachment: Attachment): Promise<CniResult> {
    const { netns = "", args = {}, capabilityArgs = {}, signal = neverAborted } = attachment;
    const key = keyOf(attachment);
    checkContainerId(key.containerId);
    checkInterfaceName(key.ifname);
    return this.#gate.one(key.containerId, async () => {
      const network = this.#network();
      const what = `attach ${key.ifname} of ${key.containerId} to network ${network.name}`;
      if (!namespaceExists(netns)) {
        throw new CniError(cniCodes.invalidNetns, `${what}: network namespace ${netns} is gone; remove the container`);
      }
      if ((await this.#cache.get(network.name, key))?.result !== undefined)
        throw new TripodError("already-exists", `${what}: it is attached already; detach it first`);
      const pairs = Object.entries(args).map(([name, value]) => {
        if (/[;=]/.test(name) || value.includes(";"))
          throw new TripodError("invalid", `${what}: CNI_ARGS cannot carry ${JSON.stringify(name)}`);
        return [name, value] as const;
      });
      const record: CachedAttachment = { ...key, network, netns, args: pairs, capabilityArgs };
      try {
        // A chain that cannot run is refused before anything is on record: what never began needs no DEL by a plugin that is not there.
        for (const { type } of network.plugins) this.#invoker.locate(type);
        this.#cache.put(record);
        failpoint("cni.add.recorded");
        bringUpLoopback(netns);
        const call = this.#call(record, signal);
        const result = await addChain(this.#invoker, call);
        failpoint("cni.add.chain-done");
        this.#cache.put({ ...record, result });
        return result;
      } catch (error) {
        throw error instanceof CniError
          ? new CniError(error.cniCode, `${what}: ${error.message}`, { details: error.details, cause: error })
          : error instanceof TripodError
            ? new TripodError(error.code, `${what}: ${error.message}`, { cause: error })
            : new TripodError("internal", `${what}: ${messageOf(error)}`, { cause: error });
      }
    });
  }

  /**
   * Runs DEL along the chain in reverse, with the configuration of the time of add(). Every plugin gets its turn; then the failures
   * are thrown together, and the attachment stays on record to be tried again. Succeeds on what is not attached.
   */
  async del(attachment: Attachment): Promise<void> {
    const key = keyOf(attachment);
    checkContainerId(key.containerId);
    checkInterfaceName(key.ifname);
    return this.#gate.one(key.containerId, () => this.#delete(attachment, key));
  }

  async #delete(attachment: Attachment, key: AttachmentKey): Promise<void> {
    const { signal = neverAborted } = attachment;
    const records = await this.#records(attachment, key);
    const failures: Error[] = [];
    for (const record of records) {
      const { network } = record;
      const prevResult = atLeast(network.cniVersion, "0.4.0") ? record.result : undefined;
      const found = await deleteChain(this.#invoker, this.#call(record, signal), prevResult);
      failpoint("cni.del.chain-done");
      failures.push(...found);
      if (found.length === 0) await this.#cache.remove(network.name, key);
    }
    if (failures.length > 0) {
      throw new AggregateError(
        failures,
        `detach ${key.ifname} of ${key.containerId}; run it again once this is mended`,
      );
    }
  }

  /** What to undo: what is on record, else what a record would say if the attachment were another runtime's. */
  async #records(attachment: Attachment, key: AttachmentKey): Promise<readonly CachedAttachment[]> {
    const own = (record: CachedAttachment): CachedAttachment => ({
      ...record,
      netns: attachment.netns ?? record.netns,
      ...(attachment.args === undefined ? {} : { args: Object.entries(attachment.args) }),
      ...(attachment.capabilityArgs === undefined ? {} : { capabilityArgs: attachment.capabilityArgs }),
    });
    const status = this.#watch.status;
    if (status.ready) {
      // The common case: one file, whose name is known.
      const record = await this.#cache.get(status.network.name, key).catch(() => undefined); // an unreadable one is as none
      if (record !== undefined) return [own(record)];
    }
    const records = (await this.#cache.list(key.containerId)).filter((record) => record.ifname === key.ifname);
    if (records.length > 0) return records.map(own);
    if (!status.ready) return [];
    return [own({ ...key, network: status.network, netns: "", args: [], capabilityArgs: {} })];
  }

  /** Asks every plugin whether the attachment is as it left it; throws what is wrong. Nothing to ask before version 0.4.0. */
  check(attachment: Attachment): Promise<void> {
    const key = keyOf(attachment);
    return this.#gate.one(key.containerId, async () => {
      const [record] = (await this.#records(attachment, key)).filter((found) => found.result !== undefined);
      if (record?.result === undefined)
        throw new TripodError("not-found", `check ${key.ifname} of ${key.containerId}: it is not attached`);
      if (record.network.disableCheck || !atLeast(record.network.cniVersion, "0.4.0")) return;
      await checkChain(this.#invoker, this.#call(record, attachment.signal ?? neverAborted), record.result);
    });
  }

  /**
   * Detaches everything of the network that is on record and not valid, then lets every plugin collect what it holds beyond that.
   * Waits until no other operation runs and holds new ones back. Failures are thrown together at the end.
   */
  gc(options: CollectOptions): Promise<void> {
    return this.#gate.alone(async () => {
      const network = this.#network();
      if (network.disableGC) return;
      const valid =
        typeof options.validAttachments === "function" ? options.validAttachments() : options.validAttachments;
      const wanted = new Set(valid.map(({ containerId, ifname }) => `${containerId}/${ifname}`));
      const failures: unknown[] = [];
      for (const record of await this.#cache.list()) {
        if (record.network.name !== network.name || wanted.has(`${record.containerId}/${record.ifname}`)) continue;
        const { containerId, ifname, netns } = record;
        const stale: Attachment = {
          containerId,
          ifname,
          netns,
          ...(options.signal === undefined ? {} : { signal: options.signal }),
        };
        await this.#delete(stale, record).catch((error: unknown) => failures.push(error)); // thrown below
      }
      if (atLeast(network.cniVersion, "1.1.0")) {
        const list = valid.map(({ containerId, ifname }) => ({ containerID: containerId, ifname }));
        const extra: JsonObject = { "cni.dev/valid-attachments": list, "cni.dev/attachments": list };
        failures.push(...(await everyPlugin(this.#invoker, "GC", this.#bareCall(network, options.signal), extra)));
      }
      if (failures.length > 0) throw new AggregateError(failures, `collect garbage of network ${network.name}`);
    });
  }

  /** What add() returned for the attachment; undefined when there is none, or its ADD was cut off. */
  async cachedResult(attachment: Attachment): Promise<CniResult | undefined> {
    const key = keyOf(attachment);
    const records = await this.#cache.list(key.containerId);
    return records.find((record) => record.ifname === key.ifname && record.result !== undefined)?.result;
  }

  /** Every attachment on record, those included whose ADD was cut off. */
  attachments(): Promise<readonly CachedAttachment[]> {
    return this.#cache.list();
  }

  /** The versions each plugin of the network speaks, or why it could not be asked. */
  async versions(
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<readonly { readonly type: string; readonly versions?: readonly string[]; readonly error?: string }[]> {
    return Promise.all(
      this.#network().plugins.map(async ({ type }) => {
        try {
          return { type, versions: await this.#invoker.versions(type, options.signal ?? neverAborted) };
        } catch (error) {
          return { type, error: messageOf(error) };
        }
      }),
    );
  }

  #network(): NetworkConfig {
    const status = this.#watch.status;
    if (status.ready) return status.network;
    throw new TripodError("unavailable", status.reason);
  }

  #call(record: CachedAttachment, signal: AbortSignal): ChainCall {
    const { capabilityArgs } = record;
    const netns = namespaceExists(record.netns) ? record.netns : "";
    return { ...record, netns, args: encodeArgs(record.args), path: this.#options.binDirs, capabilityArgs, signal };
  }

  #bareCall(network: NetworkConfig, signal = neverAborted): ChainCall {
    const path = this.#options.binDirs;
    return { network, containerId: "", netns: "", ifname: "", args: "", path, capabilityArgs: {}, signal };
  }

  /** Stops following the folder. Operations under way go on to their end. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#watch[Symbol.asyncDispose]();
  }
}
