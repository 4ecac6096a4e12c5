import { existsSync, mkdirSync } from "node:fs";
import { codeOf, runCommand } from "@tripod/base";
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
import type { ResourcesSpec } from "../spec/runtime-spec.ts";
import { attachSupervised } from "./attach.ts";
import { findProgram } from "./find-program.ts";
import { resizeTerminal } from "./control.ts";
import { createSupervised } from "./create.ts";
import { deleteContainer } from "./delete.ts";
import { execInContainer } from "./exec.ts";
import { reopenLog } from "./reopen-log.ts";
import { startFifo, startThroughFifo } from "./start.ts";
import { updateContainer } from "./update.ts";

export interface RuncOptions {
  readonly name?: string;
  /** The program; "runc" unless told. It must keep runc's start protocol (exec.fifo). */
  readonly runtime?: string;
  /** The supervisor; "conmon" unless told. */
  readonly conmon?: string;
  /** The runtime's state folder (--root). */
  readonly rootDir: string;
  /** Where exit codes are left. */
  readonly exitDir: string;
}

/** A runtime that has not made a container in this time hangs. */
const createTimeoutMs = 120_000;

/** runc under conmon. */
export class RuncRuntime implements LowLevelRuntime {
  readonly name: string;
  readonly #options: Required<RuncOptions>;
  #abilities: Promise<RuntimeAbilities> | undefined;

  constructor(options: RuncOptions) {
    this.#options = { name: "runc", runtime: "runc", conmon: "conmon", ...options };
    this.name = this.#options.name;
    mkdirSync(options.rootDir, { recursive: true, mode: 0o700 });
    mkdirSync(options.exitDir, { recursive: true, mode: 0o700 });
  }

  features(): Promise<RuntimeAbilities> {
    this.#abilities ??= probeAbilities(this.#options.runtime).catch((error: unknown) => {
      this.#abilities = undefined; // it may be installed by the next time
      throw error;
    });
    return this.#abilities;
  }

  async create(request: CreateRequest): Promise<SupervisedContainer> {
    const { runtime, conmon } = this.#options;
    // conmon wants the runtime's whole path; looked up each time, so that a late installation is found.
    const late = AbortSignal.timeout(createTimeoutMs);
    const signal = request.signal === undefined ? late : AbortSignal.any([late, request.signal]);
    return await createSupervised(
      { ...request, signal },
      {
        ...this.#options,
        runtime: findProgram(runtime),
        conmon: findProgram(conmon),
      },
    );
  }

  start(id: string, pid: number): Promise<void> {
    return startThroughFifo(this.#options.rootDir, id, pid);
  }

  isStarted(id: string): boolean {
    return !existsSync(startFifo(this.#options.rootDir, id));
  }

  delete(container: DeleteRequest): Promise<void> {
    return deleteContainer(container, this.#options.rootDir);
  }

  update(id: string, resources: ResourcesSpec): Promise<void> {
    return withSpan("runc update", { "container.id": id, resources }, () =>
      updateContainer(id, resources, { ...this.#options, runtime: findProgram(this.#options.runtime) }),
    );
  }

  async exec(id: string, request: ExecRequest): Promise<{ readonly exitCode: number }> {
    return await execInContainer(id, request, { ...this.#options, runtime: findProgram(this.#options.runtime) });
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

async function probeAbilities(runtime: string): Promise<RuntimeAbilities> {
  let text: string;
  try {
    text = (await runCommand(findProgram(runtime), ["features"])).stdout.toString();
  } catch (error) {
    if (codeOf(error) === "not-found") throw error;
    return { version: "unknown", recursiveReadonly: false }; // older than the features command
  }
  const features: unknown = JSON.parse(text);
  if (typeof features !== "object" || features === null) return { version: "unknown", recursiveReadonly: false };
  const options = "mountOptions" in features && Array.isArray(features.mountOptions) ? features.mountOptions : [];
  const annotations: unknown = "annotations" in features ? features.annotations : undefined;
  const version: unknown =
    typeof annotations === "object" && annotations !== null
      ? Reflect.get(annotations, "org.opencontainers.runc.version")
      : undefined;
  return { version: typeof version === "string" ? version : "unknown", recursiveReadonly: options.includes("rro") };
}
