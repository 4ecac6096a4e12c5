import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { failpoint, isNodeError, type Layout, silentLogger, TaskOwner, TripodError } from "@tripod/base";
import { type CriConfig, type Handler, makeHandlers } from "@tripod/cri";
import { processIsRunning, processStartTime, waitForExit } from "@tripod/linux";
import type { LowLevelRuntime } from "@tripod/oci";
import { type Bundle, withAbsolutePaths } from "./read-bundle.ts";

/** What is on record of a container run by hand, from before it is made. */
export interface HandContainer {
  readonly id: string;
  readonly handler: string;
  readonly bundle: string;
  readonly createdAtMs: number;
  /** Once it is made: its first process, and the kernel's start time of it, which tells it from a later one with the number. */
  readonly pid?: number;
  readonly startTime?: number;
  readonly supervisorPid?: number;
}

export type HandContainerView = HandContainer & {
  readonly state: "making" | "running" | "stopped";
  readonly exitCode?: number;
};

const idPattern = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/;

/** Containers of bundles made by hand: below `oci` of the instance's run folder, apart from those of the CRI server. */
export class HandContainers implements AsyncDisposable {
  readonly #dir: string;
  readonly #exitDir: string;
  readonly #cgroupParent: string;
  readonly #handlers: ReadonlyMap<string, Handler>;
  readonly #tasks = new TaskOwner("oci", silentLogger);

  constructor(layout: Layout, config: CriConfig) {
    const runDir = join(layout.runDir, "oci");
    this.#dir = join(runDir, "containers");
    this.#exitDir = join(runDir, "exits");
    this.#cgroupParent = `${layout.cgroupParent}-oci`;
    for (const dir of [this.#dir, this.#exitDir]) mkdirSync(dir, { recursive: true, mode: 0o700 });
    this.#handlers = makeHandlers({
      layout: { ...layout, runDir },
      config,
      exitDir: this.#exitDir,
      tasks: this.#tasks,
    });
  }

  /** The cgroup that theirs are in, whatever a bundle says: what is removed with a container must be Tripod's own. */
  get cgroupParent(): string {
    return this.#cgroupParent;
  }

  #cgroup(id: string): string {
    return `${this.#cgroupParent}/${id}`;
  }

  runtimeOf(handler: string): LowLevelRuntime {
    const found = this.#handlers.get(handler);
    if (found !== undefined) return found.runtime;
    const known = [...this.#handlers.keys()].filter((name) => name !== "").join(", ");
    throw new TripodError("invalid", `handler ${handler}: there is none; config.yaml has ${known}`);
  }

  home(id: string): string {
    return join(this.#dir, id);
  }

  /** Makes the container up to where its program is missing; what is left of a failure is taken away. */
  async create(
    bundle: Bundle,
    options: { readonly id: string; readonly handler: string; readonly detach: boolean; readonly signal?: AbortSignal },
  ): Promise<HandContainer> {
    const { id, handler, detach } = options;
    if (!idPattern.test(id))
      throw new TripodError("invalid", `container ${id}: an id is letters, digits, "_", "." and "-", at most 128`);
    const runtime = this.runtimeOf(handler);
    const home = this.home(id);
    try {
      mkdirSync(home, { mode: 0o700 });
    } catch (error) {
      if (!isNodeError(error, "EEXIST")) throw error;
      throw new TripodError("conflict", `container ${id} is there already; tripod oci rm ${id} removes it`);
    }
    const spec = withAbsolutePaths(bundle);
    const record: HandContainer = { id, handler, bundle: bundle.folder, createdAtMs: Date.now() };
    this.#write(record);
    failpoint("oci-run.recorded");
    try {
      writeFileSync(
        join(home, "config.json"),
        JSON.stringify({ ...spec, linux: { ...spec.linux, cgroupsPath: this.#cgroup(id) } }),
      );
      const made = await runtime.create({
        id,
        bundle: home,
        terminal: spec.process.terminal === true,
        stdin: !detach,
        stdinOnce: true,
        ...(detach && { logPath: join(home, "container.log") }),
        ...(options.signal !== undefined && { signal: options.signal }),
      });
      failpoint("oci-run.created");
      const startTime = processStartTime(made.pid);
      const known = { ...record, ...made, ...(startTime !== undefined && { startTime: Number(startTime) }) };
      this.#write(known);
      return known;
    } catch (error) {
      await this.remove(id);
      throw error;
    }
  }

  /** The exit code, once the container has ended and its supervisor has said so. */
  async ended({ id, supervisorPid }: HandContainer): Promise<number> {
    if (supervisorPid !== undefined) await waitForExit(supervisorPid);
    const code = this.#exitCode(id);
    if (code !== undefined) return code;
    throw new TripodError("internal", `container ${id}: its supervisor was killed; its exit code is not known`);
  }

  list(): HandContainerView[] {
    return readdirSync(this.#dir)
      .toSorted()
      .flatMap((id) => {
        const record = this.#read(id);
        if (record === undefined) return [];
        const exitCode = this.#exitCode(id);
        const lives = record.pid !== undefined && processIsRunning(record.pid, record.startTime);
        const state = record.pid === undefined ? "making" : lives ? "running" : "stopped";
        return [{ ...record, state, ...(exitCode !== undefined && { exitCode }) }];
      });
  }

  /** Kills it and removes all of it but the bundle; absent is no error. */
  async remove(id: string): Promise<void> {
    const record = this.#read(id);
    const home = this.home(id);
    if (record !== undefined)
      await this.#removing(record.handler).delete({ id, bundle: home, cgroupsPath: this.#cgroup(id) });
    rmSync(join(this.#exitDir, id), { force: true });
    rmSync(home, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tasks[Symbol.asyncDispose]();
  }

  /** A handler that the configuration no longer names must not keep its containers. */
  #removing(handler: string): LowLevelRuntime {
    return (this.#handlers.get(handler) ?? this.#handlers.get(""))?.runtime ?? this.runtimeOf(handler);
  }

  #write(record: HandContainer): void {
    writeFileSync(join(this.home(record.id), "container.json"), JSON.stringify(record));
  }

  #read(id: string): HandContainer | undefined {
    const file = join(this.home(id), "container.json");
    try {
      return JSON.parse(readFileSync(file, "utf8")) as HandContainer; // this class wrote it
    } catch (error) {
      if (!isNodeError(error, "ENOENT") && !(error instanceof SyntaxError)) throw error;
      // Killed before, or while, it was written: nothing has been made yet.
      return existsSync(this.home(id)) ? { id, handler: "", bundle: "", createdAtMs: 0 } : undefined;
    }
  }

  #exitCode(id: string): number | undefined {
    try {
      const text = readFileSync(join(this.#exitDir, id), "utf8").trim();
      return /^-?\d+$/.test(text) ? Number(text) & 0xff : undefined;
    } catch (error) {
      if (isNodeError(error, "ENOENT")) return undefined;
      throw error;
    }
  }
}
