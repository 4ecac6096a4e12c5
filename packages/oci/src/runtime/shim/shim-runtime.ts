import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { create, toBinary } from "@bufbuild/protobuf";
import { RuncOptionsSchema, RuntimeOptionsSchema, Status } from "@tripod/api/containerd-task";
import { codeOf, failpoint, isTripodError, messageOf, runCommand, type TaskOwner, TripodError } from "@tripod/base";
import { cgroupStats, processIsRunning, processStartTime, waitForExit } from "@tripod/linux";
import { withSpan } from "@tripod/trace";
import type {
  AttachStreams,
  CreateRequest,
  DeleteRequest,
  ExecRequest,
  LowLevelRuntime,
  RuntimeAbilities,
  SupervisedContainer,
  TerminalSize,
} from "../low-level-runtime.ts";
import { attachSupervised } from "../runc/attach.ts";
import { deleteContainer } from "../runc/delete.ts";
import { findProgram } from "../runc/find-program.ts";
import { reopenLog } from "../runc/reopen-log.ts";
import { executableOf, waitForExecve } from "../runc/start.ts";
import { parseFeatures } from "../runc/runtime-program.ts";
import type { ResourcesSpec, RuntimeSpec } from "../spec/runtime-spec.ts";
import { anyJson } from "./any-json.ts";
import { deleteAfterShim, type ShimProgram, shimVersion, startShim } from "./shim-program.ts";
import { endHolder, holderStdio, startHolder } from "./stdio-holder.ts";
import { connectTask, type TaskClient, type TaskService } from "./task-client.ts";
import { execThroughShim } from "./task-exec.ts";
import {
  type Identity,
  listTaskRecords,
  readTaskRecord,
  taskFolder,
  type TaskRecord,
  writeTaskRecord,
} from "./task-record.ts";

export interface ShimOptions {
  /** The handler's name; containerd's namespace too. */
  readonly name: string;
  /** The shim program, "containerd-shim-runc-v2". */
  readonly shim: string;
  /** The supervisor of streams; "conmon" unless told. */
  readonly conmon?: string;
  /** The configuration file that a shim such as gVisor's or Kata's is told to read. */
  readonly configPath?: string;
  readonly rootDir: string;
  readonly exitDir: string;
  /** Owns the waiting for containers' ends. */
  readonly tasks: TaskOwner;
}

const createTimeoutMs = 120_000;
/** For calls that a shim answers at once unless it hangs. */
const callTimeoutMs = 30_000;
/** For a shim that is to go: one that hangs is killed. */
const farewellTimeoutMs = 5_000;
/** What a container's end counts as when the shim has died with it. */
const killedCode = 137;

/** How long a shim may take to notice that its container has ended. */
const noticeTimeoutMs = 10_000;

function identify(pid: number): Identity | undefined {
  const startTime = processStartTime(pid);
  return startTime === undefined ? undefined : { pid, startTime };
}

/** A shim that does not tell of its container's end hangs, and nobody else would ever tell: it is killed. */
async function endHangingShim({ processes }: TaskRecord, signal: AbortSignal): Promise<void> {
  if (processes === undefined) return;
  const { init, shim } = processes;
  await waitForExit(init.pid, { startTime: init.startTime, signal });
  await setTimeout(noticeTimeoutMs, undefined, { signal });
  if (processIsRunning(shim.pid, shim.startTime)) process.kill(shim.pid, "SIGKILL");
}

/** A containerd shim for each container, and conmon for its streams. */
export class ShimRuntime implements LowLevelRuntime {
  readonly name: string;
  readonly #options: Required<Omit<ShimOptions, "configPath">> & Pick<ShimOptions, "configPath">;
  readonly #program: ShimProgram;
  readonly #clients = new Map<string, Promise<TaskClient>>();
  /** Containers that are being deleted: their shim's end is no news. */
  readonly #deleting = new Set<string>();
  #abilities: Promise<RuntimeAbilities> | undefined;

  constructor(options: ShimOptions) {
    this.#options = { conmon: "conmon", ...options };
    this.name = options.name;
    this.#program = { shim: options.shim, namespace: options.name, rootDir: options.rootDir };
    mkdirSync(join(options.rootDir, "tasks"), { recursive: true, mode: 0o700 });
    mkdirSync(options.exitDir, { recursive: true, mode: 0o700 });
    const disconnect = (): void => {
      for (const client of this.#clients.values()) client.then((each) => each[Symbol.dispose]()).catch(() => {});
      this.#clients.clear();
    };
    options.tasks.signal.addEventListener("abort", disconnect, { once: true });
  }

  async recover(): Promise<void> {
    for (const record of listTaskRecords(this.#options.rootDir)) {
      if (record.address !== undefined) this.#watch(record.id);
    }
  }

  features(): Promise<RuntimeAbilities> {
    this.#abilities ??= this.#probe().catch((error: unknown) => {
      this.#abilities = undefined; // it may be installed by the next time
      throw error;
    });
    return this.#abilities;
  }

  async #probe(): Promise<RuntimeAbilities> {
    findProgram(this.#options.conmon);
    const version = await shimVersion(this.#program);
    // Shims of containerd 1 do not say what they can do; of this one it is known whom it asks.
    if (!this.#isRuncs()) return { version, recursiveReadonly: false, userNamespaces: false, sharesKernel: false };
    const features = await runCommand(findProgram("runc"), ["features"], { okExitCodes: "any", timeoutMs: 10_000 });
    const { recursiveReadonly } = parseFeatures(features.exitCode === 0 ? features.stdout.toString() : "");
    return { version, recursiveReadonly, userNamespaces: false, sharesKernel: true };
  }

  #isRuncs(): boolean {
    return basename(this.#options.shim).startsWith("containerd-shim-runc-");
  }

  #runtimeOptions(request: CreateRequest) {
    const any = (typeUrl: string, value: Uint8Array) => ({ typeUrl, value });
    if (this.#isRuncs()) {
      const root = join(this.#options.rootDir, "runc");
      const options = create(RuncOptionsSchema, { root, systemdCgroup: request.systemdCgroup === true });
      return any("containerd.runc.v1.Options", toBinary(RuncOptionsSchema, options));
    }
    const { configPath } = this.#options;
    if (configPath === undefined) return undefined;
    return any(
      "runtimeoptions.v1.Options",
      toBinary(RuntimeOptionsSchema, create(RuntimeOptionsSchema, { configPath })),
    );
  }

  create(request: CreateRequest): Promise<SupervisedContainer> {
    return withSpan("shim create", { "container.id": request.id, shim: this.#options.shim }, async () => {
      const { id, bundle, stdinOnce } = request;
      const { rootDir } = this.#options;
      const late = AbortSignal.timeout(createTimeoutMs);
      const signal = request.signal === undefined ? late : AbortSignal.any([late, request.signal]);
      mkdirSync(taskFolder(rootDir, id), { recursive: true, mode: 0o700 });
      const record: TaskRecord = { id, bundle, stdinOnce };
      writeTaskRecord(rootDir, record);
      const conmon = findProgram(this.#options.conmon);
      const holder = await startHolder({ ...request, signal }, { ...this.#options, conmon });
      failpoint("oci.shim.holder-started");
      writeFileSync(join(bundle, "log"), "", { mode: 0o600 }); // where a shim writes its own log
      const address = await startShim(id, bundle, this.#program);
      writeTaskRecord(rootDir, { ...record, address });
      failpoint("oci.shim.started");
      const task = await this.#task(id);
      const options = this.#runtimeOptions(request);
      const stdio = holderStdio(holder.pid, request);
      const what = { id, bundle, terminal: request.terminal, ...stdio, ...(options !== undefined && { options }) };
      let pid: number;
      try {
        ({ pid } = await task.create(what, { timeoutMs: createTimeoutMs, signal }));
      } catch (cause) {
        throw new TripodError("internal", `create container: ${messageOf(cause)}`, { cause });
      }
      failpoint("oci.shim.task-created");
      const { shimPid } = await task.connect({ id }, { timeoutMs: callTimeoutMs });
      const [init, shim] = [identify(pid), identify(shimPid)];
      if (init !== undefined && shim !== undefined)
        writeTaskRecord(rootDir, { ...record, address, processes: { init, shim } });
      this.#watch(id);
      return { pid, supervisorPid: holder.supervisorPid };
    });
  }

  start(id: string, pid: number): Promise<void> {
    return withSpan("shim start", { "container.id": id }, async () => {
      const before = this.#isRuncs() ? executableOf(pid) : undefined;
      try {
        await (await this.#task(id)).start({ id }, { timeoutMs: createTimeoutMs });
      } catch (cause) {
        const why = processIsRunning(pid) ? "" : `its first process ${pid} has died: `;
        throw new TripodError("failed-precondition", `start container ${id}: ${why}${messageOf(cause)}`, { cause });
      }
      await waitForExecve(pid, before);
    });
  }

  async isStarted(id: string): Promise<boolean> {
    try {
      const { status } = await (await this.#task(id)).state({ id }, { timeoutMs: callTimeoutMs });
      return status !== Status.CREATED;
    } catch (error) {
      // Nothing waits to be started where the shim is gone, or has told the end already.
      if (codeOf(error) === "unavailable" || readTaskRecord(this.#options.rootDir, id)?.exitCode !== undefined)
        return true;
      throw error;
    }
  }

  async signal(id: string, signal: number): Promise<void> {
    try {
      await (await this.#task(id)).kill({ id, signal, all: false }, { timeoutMs: callTimeoutMs });
    } catch (error) {
      if (!isTripodError(error, "not-found", "unavailable")) throw error; // it has ended
    }
  }

  update(id: string, resources: ResourcesSpec): Promise<void> {
    return withSpan("shim update", { "container.id": id, resources }, async () => {
      const task = await this.#task(id);
      await task.update({ id, resources: anyJson("LinuxResources", resources) }, { timeoutMs: callTimeoutMs });
    });
  }

  async exec(id: string, request: ExecRequest): Promise<{ readonly exitCode: number }> {
    const task = await this.#task(id);
    const { shimPid } = await task.connect({ id }, { timeoutMs: callTimeoutMs });
    return await execThroughShim(id, request, { task, shimPid });
  }

  async attach(bundle: string, streams: AttachStreams): Promise<void> {
    const record = this.#recordOf(bundle);
    // conmon closes its end of stdin; the shim's own has to be closed too.
    streams.stdin?.once("end", () => {
      if (record?.stdinOnce === true)
        this.#inBackground("close stdin", record.id, (task) => task.closeIO({ id: record.id, stdin: true }));
    });
    await attachSupervised(bundle, streams);
  }

  resize(bundle: string, size: TerminalSize): void {
    const record = this.#recordOf(bundle);
    if (record === undefined) return;
    this.#inBackground("resize terminal", record.id, (task) => task.resizePty({ id: record.id, ...size }));
  }

  reopenLog(bundle: string, logPath: string): Promise<void> {
    return reopenLog(bundle, logPath);
  }

  delete(container: DeleteRequest): Promise<void> {
    return withSpan("shim delete", { "container.id": container.id }, async () => {
      const { id, cgroupsPath } = container;
      const { rootDir } = this.#options;
      this.#deleting.add(id);
      try {
        const record = readTaskRecord(rootDir, id);
        if (record !== undefined && !(await this.#farewell(record))) await this.#clean(record);
        // Whatever is left: conmon, the holder, a shim that hangs, and the cgroup.
        await deleteContainer({ id, cgroupsPath }, { rootDir, program: undefined });
        rmSync(join(rootDir, "runc", this.name, id), { recursive: true, force: true });
        if (record?.address !== undefined) rmSync(record.address.socket, { force: true });
        rmSync(taskFolder(rootDir, id), { recursive: true, force: true });
      } finally {
        this.#forget(id);
        this.#deleting.delete(id);
      }
    });
  }

  /** Ends the container and its shim by the shim's own means; false when that did not do. */
  async #farewell({ id, address }: TaskRecord): Promise<boolean> {
    if (address === undefined) return false;
    try {
      const task = await this.#task(id);
      const limit = { timeoutMs: farewellTimeoutMs };
      try {
        await task.kill({ id, signal: 9, all: false }, limit);
      } catch (error) {
        if (codeOf(error) === "unavailable") throw error; // else it has ended
      }
      try {
        await task.wait({ id }, limit);
        await task.delete({ id }, limit);
      } catch (error) {
        if (codeOf(error) !== "not-found") throw error; // it was deleted when it ended
      }
      await task.shutdown({ id, now: true }, limit).catch(() => {}); // the shim ends without an answer
      return true;
    } catch {
      return false; // it is dead, or hangs, or its container cannot be killed
    }
  }

  /** Has the program clean up after a dead shim; what it cannot, the caller does as far as it can. */
  async #clean({ id, bundle }: TaskRecord): Promise<void> {
    await deleteAfterShim(id, bundle, this.#program).catch(() => {});
  }

  #recordOf(bundle: string): TaskRecord | undefined {
    return listTaskRecords(this.#options.rootDir).find((record) => record.bundle === bundle);
  }

  #inBackground(what: string, id: string, call: (task: TaskService) => Promise<unknown>): void {
    this.#options.tasks.run(what, async () => {
      try {
        await call(await this.#task(id));
      } catch (error) {
        if (!isTripodError(error, "not-found", "unavailable", "failed-precondition")) throw error; // it has ended
      }
    });
  }

  /** The task service of the container's shim. */
  async #task(id: string): Promise<TaskService> {
    return (await this.#client(id)).task;
  }

  #client(id: string): Promise<TaskClient> {
    const known = this.#clients.get(id);
    if (known !== undefined) return known;
    const address = readTaskRecord(this.#options.rootDir, id)?.address;
    if (address === undefined) {
      return Promise.reject(new TripodError("not-found", `container ${id}: there is no shim that keeps it`));
    }
    const client = connectTask(address, this.name);
    this.#clients.set(id, client);
    const forget = (): void => {
      if (this.#clients.get(id) === client) this.#clients.delete(id);
    };
    client.then(({ closed }) => closed.then(forget), forget);
    return client;
  }

  #forget(id: string): void {
    const client = this.#clients.get(id);
    this.#clients.delete(id);
    client?.then((each) => each[Symbol.dispose]()).catch(() => {});
  }

  /** Follows a container to its end, and passes on its exit code. */
  #watch(id: string): void {
    this.#options.tasks.run("wait for a container of a shim", async (signal) => {
      const record = readTaskRecord(this.#options.rootDir, id);
      if (record === undefined) return;
      const exitCode = record.exitCode ?? (await this.#exitOf(record, signal));
      if (exitCode === undefined || this.#deleting.has(id) || signal.aborted) return;
      if (readTaskRecord(this.#options.rootDir, id) === undefined) return; // removed through a handler of a newer configuration
      this.#noteOutOfMemory(record);
      writeTaskRecord(this.#options.rootDir, { ...record, exitCode });
      failpoint("oci.shim.exit-recorded");
      await this.#release(record);
      failpoint("oci.shim.released");
      endHolder(record.bundle, exitCode);
    });
  }

  /** The exit code when it comes; that of a killed one when the shim has died; undefined when it is of no interest any more. */
  async #exitOf(record: TaskRecord, signal: AbortSignal): Promise<number | undefined> {
    const { id } = record;
    const told = new AbortController();
    endHangingShim(record, AbortSignal.any([signal, told.signal])).catch(() => {}); // aborted
    try {
      const task = await this.#task(id);
      return (await task.wait({ id }, { signal })).exitStatus;
    } catch (error) {
      if (signal.aborted || this.#deleting.has(id)) return undefined;
      if (!isTripodError(error, "unavailable", "not-found")) throw error;
      return killedCode;
    } finally {
      told.abort();
    }
  }

  /** The kernel's count goes with the cgroup, which the shim takes away. */
  #noteOutOfMemory({ bundle }: TaskRecord): void {
    const spec = JSON.parse(readFileSync(join(bundle, "config.json"), "utf8")) as RuntimeSpec; // written by us
    const { cgroupsPath } = spec.linux;
    if (!cgroupsPath.startsWith("/")) return; // systemd's form: its scope stays as long as it is looked at
    if ((cgroupStats(cgroupsPath).memory?.oomKills ?? 0) > 0) writeFileSync(join(bundle, "oom"), "");
  }

  /** Waits until all output has been copied, then lets the shim go: an ended container needs none. */
  async #release(record: TaskRecord): Promise<void> {
    const { id } = record;
    try {
      const task = await this.#task(id);
      await task.delete({ id }, { timeoutMs: callTimeoutMs });
      await task.shutdown({ id, now: false }, { timeoutMs: farewellTimeoutMs }).catch(() => {}); // ends without an answer
    } catch {
      await this.#clean(record);
    }
  }
}
