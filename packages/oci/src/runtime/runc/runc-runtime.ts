import { existsSync, mkdirSync } from "node:fs";
import { isTripodError } from "@tripod/base";
import { withSpan } from "@tripod/trace";
import type {
  AttachStreams,
  CheckpointingRuntime,
  CreateRequest,
  DeleteRequest,
  ExecRequest,
  LowLevelRuntime,
  RuntimeAbilities,
  SupervisedContainer,
  TerminalSize,
} from "../low-level-runtime.ts";
import type { ResourcesSpec } from "../spec/runtime-spec.ts";
import { attachSupervised } from "./attach.ts";
import { findProgram } from "./find-program.ts";
import { checkpointContainer, checkpointProblem, pauseContainer } from "./checkpoint.ts";
import { resizeTerminal } from "./control.ts";
import { createSupervised } from "./create.ts";
import { deleteContainer } from "./delete.ts";
import { execInContainer } from "./exec.ts";
import { runPoststopHooks } from "./poststop-hooks.ts";
import { reopenLog } from "./reopen-log.ts";
import { type Dialect, probeProgram, type RuntimeProgram, statusOf } from "./runtime-program.ts";
import { startByCommand, startFifo, startThroughFifo } from "./start.ts";
import { updateContainer } from "./update.ts";

export interface RuncOptions {
  readonly name?: string;
  /** The program; "runc" unless told. Any that keeps runc's command line: crun, youki, gVisor's runsc. */
  readonly runtime?: string;
  /** Options before each of its subcommands, `["--network=host"]`; none unless told. */
  readonly arguments?: readonly string[];
  /** What freezes and restores processes for runtimes that need it; "criu" unless told. */
  readonly criu?: string;
  /** The supervisor; "conmon" unless told. */
  readonly conmon?: string;
  /** The runtime's state folder (--root). */
  readonly rootDir: string;
  /** Where exit codes are left. */
  readonly exitDir: string;
}

/** A runtime that has not made a container in this time hangs. */
const createTimeoutMs = 120_000;

/** An OCI runtime with runc's command line under conmon. */
export class RuncRuntime implements LowLevelRuntime {
  readonly name: string;
  readonly #options: Required<RuncOptions>;
  #abilities: Promise<RuntimeAbilities & Dialect> | undefined;

  constructor(options: RuncOptions) {
    this.#options = { name: "runc", runtime: "runc", conmon: "conmon", criu: "criu", arguments: [], ...options };
    this.name = this.#options.name;
    mkdirSync(options.rootDir, { recursive: true, mode: 0o700 });
    mkdirSync(options.exitDir, { recursive: true, mode: 0o700 });
  }

  /** The program as it is found now, so that a late installation is. */
  #program(): RuntimeProgram {
    return { ...this.#options, runtime: findProgram(this.#options.runtime) };
  }

  async recover(): Promise<void> {} // conmon needs nobody

  features(): Promise<RuntimeAbilities & Dialect> {
    this.#abilities ??= probeProgram(this.#options.runtime).catch((error: unknown) => {
      this.#abilities = undefined; // it may be installed by the next time
      throw error;
    });
    return this.#abilities;
  }

  create(request: CreateRequest): Promise<SupervisedContainer> {
    return this.#supervise(request);
  }

  readonly checkpoints: CheckpointingRuntime = {
    problem: (options) => checkpointProblem({ ...this.#options, ...this.#program() }, options),
    pause: (id) => pauseContainer("pause", id, { ...this.#options, ...this.#program() }),
    resume: (id) => pauseContainer("resume", id, { ...this.#options, ...this.#program() }),
    checkpoint: (id, request) => checkpointContainer(id, request, { ...this.#options, ...this.#program() }),
    restore: (request, imagesDir) => this.#supervise(request, imagesDir),
  };

  async #supervise(request: CreateRequest, imagesDir?: string): Promise<SupervisedContainer> {
    const late = AbortSignal.timeout(createTimeoutMs);
    const signal = request.signal === undefined ? late : AbortSignal.any([late, request.signal]);
    return await createSupervised(
      { ...request, signal },
      {
        ...this.#program(), // conmon wants its whole path
        conmon: findProgram(this.#options.conmon),
        exitDir: this.#options.exitDir,
        ...(imagesDir !== undefined && { restore: { imagesDir, criu: this.#options.criu } }),
      },
    );
  }

  async start(id: string, pid: number): Promise<void> {
    const dialect = await this.features();
    if (dialect.startsThroughFifo) await startThroughFifo(this.#options.rootDir, id, pid);
    else await startByCommand(id, pid, { program: this.#program(), dialect });
  }

  async isStarted(id: string): Promise<boolean> {
    const { startsThroughFifo } = await this.features();
    if (startsThroughFifo) return !existsSync(startFifo(this.#options.rootDir, id));
    return (await statusOf(id, this.#program())) !== "created";
  }

  async delete({ bundle, ...container }: DeleteRequest): Promise<void> {
    const { rootDir } = this.#options;
    const program = await this.#ownDelete();
    await deleteContainer(container, { rootDir, program });
    // A program that deletes by itself runs the hooks too.
    if (bundle !== undefined && program === undefined) await runPoststopHooks({ id: container.id, bundle });
  }

  /** The program, when what it made is more than processes, a cgroup and a folder; none when it has been uninstalled. */
  async #ownDelete(): Promise<RuntimeProgram | undefined> {
    try {
      return (await this.features()).startsThroughFifo ? undefined : this.#program();
    } catch (error) {
      if (isTripodError(error, "not-found")) return undefined;
      throw error;
    }
  }

  update(id: string, resources: ResourcesSpec): Promise<void> {
    return withSpan("runc update", { "container.id": id, resources }, () =>
      updateContainer(id, resources, this.#program()),
    );
  }

  async exec(id: string, request: ExecRequest): Promise<{ readonly exitCode: number }> {
    return await execInContainer(id, request, { ...this.#program(), dialect: await this.features() });
  }

  attach(bundle: string, streams: AttachStreams): Promise<void> {
    return attachSupervised(bundle, streams);
  }

  resize(bundle: string, size: TerminalSize): void {
    resizeTerminal(bundle, size);
  }

  reopenLog(bundle: string, logPath: string): Promise<void> {
    return reopenLog(bundle, logPath);
  }
}
