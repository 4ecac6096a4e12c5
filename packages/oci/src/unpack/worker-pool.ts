import { Worker } from "node:worker_threads";
import { TripodError } from "@tripod/base";
import { trimHeap } from "@tripod/linux";
import type { DiskUsage } from "../image.ts";
import type { TreeChange } from "../snapshots/compare-trees.ts";
import type { LayerContents } from "./layer-writer.ts";
import type { UnpackRequest } from "./unpack-layer.ts";
import type { FileIdentity, FromWorker, SettleRequest, ToWorker, WorkerJob, WorkerResult } from "./worker-message.ts";

interface Task {
  readonly id: number;
  readonly job: WorkerJob;
  readonly resolve: (result: WorkerResult) => void;
  readonly reject: (error: unknown) => void;
  cancelled: boolean;
}

interface Slot {
  readonly worker: Worker;
  task: Task | undefined;
  /** Its modules are loaded, or it has ended. */
  readonly ready: PromiseWithResolvers<void>;
  /** Called when its task has been answered, or it has ended. */
  whenIdle: (() => void) | undefined;
  idleTimer: NodeJS.Timeout | undefined;
}

/** The threads that unpack layers: started when there is work, ended when there has been none for a while. */
export class WorkerPool implements AsyncDisposable {
  readonly #size: number;
  readonly #idleMs: number;
  readonly #queue: Task[] = [];
  readonly #slots = new Set<Slot>();
  #nextId = 1;
  #closed = false;

  /** `size` threads at most; each costs some 10 MB while it lives. */
  constructor(options: { readonly size: number; readonly idleMs: number }) {
    this.#size = options.size;
    this.#idleMs = options.idleMs;
  }

  async unpack(request: UnpackRequest, signal?: AbortSignal): Promise<LayerContents> {
    // A worker answers each kind of job with its own result.
    return (await this.#run({ kind: "unpack", request }, signal)) as LayerContents;
  }

  async settle(request: SettleRequest, signal?: AbortSignal): Promise<void> {
    await this.#run({ kind: "settle", request }, signal);
  }

  /** What a file holds; undefined when there is none. */
  async digest(path: string, signal?: AbortSignal): Promise<FileIdentity | undefined> {
    return (await this.#run({ kind: "digest", path }, signal)) as FileIdentity | undefined;
  }

  /** What measureTree() says. */
  async measure(dir: string, signal?: AbortSignal): Promise<DiskUsage> {
    return (await this.#run({ kind: "measure", dir }, signal)) as DiskUsage;
  }

  /** What compareTrees() says. */
  async compare(expected: string, found: string, signal?: AbortSignal): Promise<readonly string[]> {
    return (await this.#run({ kind: "compare", expected, found }, signal)) as readonly string[];
  }

  /** What treeChanges() says. */
  async changes(expected: string, found: string, signal?: AbortSignal): Promise<readonly TreeChange[]> {
    return (await this.#run({ kind: "changes", expected, found }, signal)) as readonly TreeChange[];
  }

  #run(job: WorkerJob, signal: AbortSignal | undefined): Promise<WorkerResult> {
    if (this.#closed) throw new TripodError("cancelled", "unpack layer: the image store is closed");
    signal?.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<WorkerResult>();
    const task: Task = { id: this.#nextId++, job, resolve, reject, cancelled: false };
    const cancel = (): void => this.#cancel(task);
    signal?.addEventListener("abort", cancel, { once: true });
    // Completing a layer lets others go on: it goes first.
    if (job.kind === "settle") this.#queue.unshift(task);
    else this.#queue.push(task);
    this.#pump();
    return promise.finally(() => signal?.removeEventListener("abort", cancel));
  }

  #cancel(task: Task): void {
    task.cancelled = true;
    const waiting = this.#queue.indexOf(task);
    if (waiting !== -1) {
      this.#queue.splice(waiting, 1);
      task.reject(new TripodError("cancelled", "unpack layer: cancelled"));
      return;
    }
    // The worker answers once it has stopped, so that nobody removes a folder that is still being written.
    for (const slot of this.#slots) if (slot.task === task) send(slot, { id: task.id, cancel: true });
  }

  #pump(): void {
    while (this.#queue.length > 0) {
      let slot = [...this.#slots].find((candidate) => candidate.task === undefined);
      if (slot === undefined) {
        if (this.#slots.size >= this.#size) return;
        slot = this.#start();
      }
      clearTimeout(slot.idleTimer);
      slot.task = this.#queue.shift();
      slot.worker.ref();
      if (slot.task !== undefined) send(slot, { id: slot.task.id, job: slot.task.job });
    }
  }

  #start(): Slot {
    // Descriptors that come from openat2(2) are not known to Node, which would warn when they are closed.
    const worker = new Worker(new URL("./unpack-worker.ts", import.meta.url), {
      name: "tripod-unpack",
      trackUnmanagedFds: false,
    });
    const ready = Promise.withResolvers<void>();
    const slot: Slot = { worker, task: undefined, ready, whenIdle: undefined, idleTimer: undefined };
    this.#slots.add(slot);
    worker.on("message", (reply: FromWorker) => {
      if ("ready" in reply) {
        ready.resolve();
        return;
      }
      const task = slot.task;
      if (task?.id !== reply.id) return;
      slot.task = undefined;
      if ("done" in reply) task.resolve(reply.done);
      else {
        const { code, message } = reply.failed;
        task.reject(
          task.cancelled ? new TripodError("cancelled", "unpack layer: cancelled") : new TripodError(code, message),
        );
      }
      this.#rest(slot);
      this.#pump();
      slot.whenIdle?.();
    });
    const lost = (cause: unknown): void => {
      this.#slots.delete(slot);
      clearTimeout(slot.idleTimer);
      slot.task?.reject(new TripodError("internal", "unpack layer: its worker thread ended", { cause }));
      slot.task = undefined;
      ready.resolve();
      slot.whenIdle?.();
      if (!this.#closed) this.#pump();
    };
    worker.on("error", lost);
    worker.on("exit", lost);
    return slot;
  }

  #rest(slot: Slot): void {
    slot.worker.unref();
    slot.idleTimer = setTimeout(() => {
      if (slot.task !== undefined) return;
      this.#slots.delete(slot);
      // What a thread held stays in the C library's heap, some 10 MB, until somebody asks for it.
      void slot.worker.terminate().then(() => trimHeap());
    }, this.#idleMs);
    slot.idleTimer.unref();
  }

  /** Cancels what runs and ends all threads. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    for (const task of this.#queue.splice(0))
      task.reject(new TripodError("cancelled", "unpack layer: the image store is closed"));
    await Promise.all([...this.#slots].map((slot) => this.#end(slot)));
  }

  /** Ends a thread between two jobs: one that is ended while it loads native code, or is within it, takes the whole process with it. */
  async #end(slot: Slot): Promise<void> {
    clearTimeout(slot.idleTimer);
    slot.worker.ref();
    await slot.ready.promise;
    if (slot.task !== undefined) {
      const idle = Promise.withResolvers<void>();
      slot.whenIdle = idle.resolve;
      this.#cancel(slot.task);
      await idle.promise;
    }
    clearTimeout(slot.idleTimer); // it has begun to rest
    await slot.worker.terminate();
  }
}

const send = (slot: Slot, message: ToWorker): void => slot.worker.postMessage(message);
