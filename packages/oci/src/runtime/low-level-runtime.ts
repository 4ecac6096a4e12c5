import type { Readable, Writable } from "node:stream";
import type { ResourcesSpec } from "./spec/runtime-spec.ts";

/** A terminal's size in character cells. */
export interface TerminalSize {
  readonly width: number;
  readonly height: number;
}

/**
 * What stands between Tripod and the kernel for one container: an OCI runtime together with a supervisor that outlives this process,
 * writes the container's log in CRI's format and leaves its exit code in a file. A bundle is a folder with config.json; ids are
 * [A-Za-z0-9_.-]+. Every method may be asked again after a crash in its middle.
 */
export interface LowLevelRuntime {
  /** The handler's name, "runc". */
  readonly name: string;
  /** Asked once, before anything else: takes up again what an earlier process of ours has left running. */
  recover(): Promise<void>;
  /** What this machine's build can do. */
  features(): Promise<RuntimeAbilities>;
  /**
   * Makes the container up to the point where only its own program is missing. A refusal is an "internal" error with the runtime's own
   * words, and leaves nothing behind that delete() does not remove.
   */
  create(request: CreateRequest): Promise<SupervisedContainer>;
  /** Lets the program of a created container run. A runtime with a kernel of its own may see only here that there is none. */
  start(id: string, pid: number): Promise<void>;
  /** Whether the program of a container that lives has been let run. */
  isStarted(id: string): Promise<boolean>;
  /**
   * Sends a signal to the program, where its first process is not this kernel's or not its own; without this method `pid` is told. One
   * that has ended is no error.
   */
  signal?(id: string, signal: number): Promise<void>;
  /** Removes whatever is left of the container, killing it when it lives; absent is no error. */
  delete(container: DeleteRequest): Promise<void>;
  /** Changes limits of a container that lives. */
  update(id: string, resources: ResourcesSpec): Promise<void>;
  /** Runs one more process in the container; resolves when it has ended and nothing it left behind holds its output open. */
  exec(id: string, request: ExecRequest): Promise<{ readonly exitCode: number }>;
  /** Joins the streams of the container's own program until it or the peer ends. */
  attach(bundle: string, streams: AttachStreams): Promise<void>;
  /** Sets the size of the container's own terminal. */
  resize(bundle: string, size: TerminalSize): void;
  /**
   * Closes the log file and opens it anew at `logPath`, the one that it was created with, after somebody has rotated it away. Resolves when
   * the new file is there.
   */
  reopenLog(bundle: string, logPath: string): Promise<void>;
  /** Freezing containers into files, and thawing them; absent where the supervision cannot. */
  readonly checkpoints?: CheckpointingRuntime;
}

/** What a runtime does that can write a container's processes, memory and all, to files and make a container of those. */
export interface CheckpointingRuntime {
  /** Why this machine cannot, and what to do about it; undefined when it can. */
  problem(needs: CheckpointNeeds): Promise<string | undefined>;
  /** Has every process of the container stand still; one that does already is no error. After a crash thawCgroup() ends it, too. */
  pause(id: string): Promise<void>;
  /** Lets them go on; ones that do already are no error. */
  resume(id: string): Promise<void>;
  /**
   * Writes a running or paused container's processes into `imagesDir`, an empty folder; a paused one stays so. It goes on running when `leaveRunning`, else it ends. On a
   * "failed-precondition" error, which has the runtime's own words, it runs on and whatever the folder holds is worth nothing. Asked for
   * by a process that is killed, it comes to its end by itself.
   */
  checkpoint(id: string, request: CheckpointRequest): Promise<void>;
  /**
   * Makes a container as create() does, whose processes are those in `imagesDir`, and lets them run: it is not started. Its bundle mounts
   * what the container mounted that they were taken from, and its root file system holds what that one's held.
   */
  restore(request: CreateRequest, imagesDir: string): Promise<SupervisedContainer>;
}

export interface CheckpointNeeds {
  /** The container goes on after it. */
  readonly leaveRunning: boolean;
  /** It is paused before, so that others, and its files, are taken at the same moment. */
  readonly whilePaused: boolean;
}

export interface CheckpointRequest {
  readonly imagesDir: string;
  /** Exists; the runtime's own logs go there. */
  readonly workDir: string;
  readonly leaveRunning: boolean;
  /** After this long it is given up as a "timeout" error, and the container runs on; 120,000 unless told. */
  readonly timeoutMs?: number;
}

export interface RuntimeAbilities {
  readonly recursiveReadonly: boolean;
  /** Containers are processes of this kernel, so that a mount made for them is to them what it is here. */
  readonly sharesKernel: boolean;
  /** Joins a user namespace; what it binds there is id-mapped before. */
  readonly userNamespaces: boolean;
  /** With the program's name: "runc version 1.1.5". */
  readonly version: string;
}

export interface CreateRequest {
  readonly id: string;
  /** The folder that holds config.json; the supervisor's sockets, fifos and pid files go there too. */
  readonly bundle: string;
  /**
   * Settles when config.json and what it names are there, or fails with why they will not be, which is then create()'s error: what can
   * be done meanwhile is. They are there already unless told.
   */
  readonly ready?: Promise<unknown>;
  /** Absolute, in a folder that is there; no log is written without it. */
  readonly logPath?: string;
  readonly terminal: boolean;
  readonly stdin: boolean;
  /** Close the program's standard input when the first attached client has closed its own. */
  readonly stdinOnce: boolean;
  /** The bundle's cgroupsPath is "slice:prefix:name", which systemd makes; else it is a path. */
  readonly systemdCgroup?: boolean;
  readonly signal?: AbortSignal;
}

export interface DeleteRequest {
  readonly id: string;
  /** Its poststop hooks are run when it is given. */
  readonly bundle?: string;
  readonly cgroupsPath: string;
  /** The processes that were started for the container and may still be there. All are looked through without it. */
  readonly processes?: readonly number[];
}

export interface SupervisedContainer {
  /** The container's first process, as this process's namespace numbers it. */
  readonly pid: number;
  readonly supervisorPid: number;
}

export interface ExecRequest {
  readonly args: readonly string[];
  readonly terminal: boolean;
  readonly bundle: string;
  readonly stdin?: Readable;
  readonly stdout?: Writable;
  readonly stderr?: Writable;
  /** Sizes of the terminal as they come. */
  readonly resize?: AsyncIterable<TerminalSize>;
  /** Ends the process, and whatever it started, by SIGKILL. */
  readonly signal?: AbortSignal;
}

export interface AttachStreams {
  readonly stdin?: Readable;
  readonly stdout?: Writable;
  readonly stderr?: Writable;
  readonly signal?: AbortSignal;
}
