import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type ContainerConfigSchema,
  ContainerState,
  type ContainerStatus,
  type ImageService,
  LinuxContainerSecurityContextSchema,
  type PodSandboxStatus,
  type RuntimeService,
} from "@tripod/api/cri";
import { isTripodError, type TripodError } from "@tripod/base";
import type { Client } from "@tripod/grpc";
import { unmountBelow } from "@tripod/testing";
import { eventually } from "./eventually.ts";
import { type LogLine, parseLog } from "./log-line.ts";
import { type Sandbox, type SandboxInit, type Session, ownPid } from "./session.ts";

/** Fields of a container's configuration, as a plain object. */
export type ContainerInit = Omit<MessageInitShape<typeof ContainerConfigSchema>, "$typeName" | "$unknown">;
export type SecurityInit = NonNullable<NonNullable<ContainerInit["linux"]>["securityContext"]>;

/** The words of a container that is there to be worked in. */
const waiting = ["sleep", "86400"];

export type { Sandbox, SandboxInit };

/** What one spec works with. Everything that it makes through this goes away at its end. */
export class World implements AsyncDisposable {
  readonly session: Session;
  readonly #undo = new AsyncDisposableStack();

  constructor(session: Session) {
    this.session = session;
  }

  get runtime(): Client<typeof RuntimeService> {
    return this.session.runtime;
  }

  get images(): Client<typeof ImageService> {
    return this.session.images;
  }

  /** The image that containers have unless told. */
  get image(): string {
    return this.session.imageName("busybox:1");
  }

  unique(word = "x"): string {
    return this.session.unique(word);
  }

  /** Something to be done at the end of the spec, also when it fails. */
  defer(undo: () => Promise<void> | void): void {
    this.#undo.defer(undo);
  }

  /** A new folder on the machine; what is mounted below it is unmounted at the end. */
  folder(): string {
    const parent = join(this.session.target.folder, "folders");
    mkdirSync(parent, { recursive: true });
    const path = mkdtempSync(join(parent, "f"));
    this.defer(() => {
      unmountBelow(path);
      rmSync(path, { recursive: true, force: true });
    });
    return path;
  }

  /** A configuration of a sandbox with a name and a log folder of its own. */
  sandboxConfig(change: SandboxInit = {}): Promise<SandboxInit> {
    return this.session.sandboxConfig(change);
  }

  /** Runs a sandbox. */
  async sandbox(change: SandboxInit = {}): Promise<Sandbox> {
    return this.runSandbox(await this.sandboxConfig(change));
  }

  /** Runs the very sandbox that a configuration describes; it is stopped and removed at the end. */
  async runSandbox(config: SandboxInit, options: { readonly timeoutMs?: number } = {}): Promise<Sandbox> {
    const { podSandboxId: id } = await this.runtime.runPodSandbox(
      { config, runtimeHandler: this.session.target.handler ?? "" },
      options,
    );
    this.defer(() => unlessGone(this.removeSandbox(id)));
    return { id, config };
  }

  async removeSandbox(podSandboxId: string): Promise<void> {
    await this.runtime.stopPodSandbox({ podSandboxId });
    await this.runtime.removePodSandbox({ podSandboxId });
  }

  /** The plain sandbox that specs share. */
  pod(): Promise<Sandbox> {
    return this.session.pod();
  }

  async sandboxStatus(podSandboxId: string): Promise<PodSandboxStatus> {
    const { status } = await this.runtime.podSandboxStatus({ podSandboxId });
    assert.ok(status, "PodSandboxStatus answers without a status");
    return status;
  }

  /** A configuration of a container of the plain image that waits. */
  containerConfig(change: ContainerInit = {}): ContainerInit {
    const name = this.unique("c");
    const securityContext = create(LinuxContainerSecurityContextSchema, change.linux?.securityContext);
    securityContext.namespaceOptions ??= ownPid();
    return {
      metadata: { name, attempt: 0 },
      image: { image: this.image },
      command: waiting,
      logPath: `${name}.log`,
      ...change,
      linux: { ...change.linux, securityContext },
    };
  }

  /** Creates a container; it is removed at the end. */
  async create(
    sandbox: Sandbox,
    change: ContainerInit = {},
    options: { readonly timeoutMs?: number } = {},
  ): Promise<string> {
    const config = this.containerConfig(change);
    const request = { podSandboxId: sandbox.id, config, sandboxConfig: sandbox.config };
    const { containerId } = await this.runtime.createContainer(request, options);
    this.defer(() => unlessGone(this.runtime.removeContainer({ containerId })));
    return containerId;
  }

  /** Creates one and starts it: one that waits, unless a command is given. */
  async run(sandbox: Sandbox, change: ContainerInit = {}): Promise<string> {
    const containerId = await this.create(sandbox, change);
    await this.runtime.startContainer({ containerId });
    return containerId;
  }

  /** Runs `sh -c script` in a container of its own. */
  shell(sandbox: Sandbox, script: string, change: ContainerInit = {}): Promise<string> {
    return this.run(sandbox, { command: ["sh", "-c", script], ...change });
  }

  /** Runs `sh -c script` to its end in a container of its own: what it printed on standard output, trimmed. Its exit code must be 0. */
  async output(sandbox: Sandbox, script: string, change: ContainerInit = {}): Promise<string> {
    const id = await this.shell(sandbox, script, change);
    const { exitCode, reason } = await this.exited(id);
    const text = (await this.log(id)).map((line) => line.text).join("\n");
    assert.equal(exitCode, 0, `the container ended with ${exitCode} ${reason}; it printed ${JSON.stringify(text)}`);
    return text.trim();
  }

  /** A container that waits, with this security context. */
  secured(sandbox: Sandbox, securityContext: SecurityInit, change: ContainerInit = {}): Promise<string> {
    return this.run(sandbox, { ...change, linux: { securityContext } });
  }

  async status(containerId: string): Promise<ContainerStatus> {
    const { status } = await this.runtime.containerStatus({ containerId });
    assert.ok(status, "ContainerStatus answers without a status");
    return status;
  }

  /** Waits until the container has ended. */
  exited(containerId: string): Promise<ContainerStatus> {
    return eventually("the container ends", async () => {
      const status = await this.status(containerId);
      return status.state === ContainerState.CONTAINER_EXITED ? status : undefined;
    });
  }

  /** What a command in the container prints, trimmed; it has to succeed. */
  async exec(containerId: string, ...cmd: string[]): Promise<string> {
    const { stdout, stderr, exitCode } = await this.runtime.execSync({ containerId, cmd, timeout: 20n });
    const errors = Buffer.from(stderr).toString();
    assert.equal(exitCode, 0, `${cmd.join(" ")} ended with ${exitCode}: ${errors}`);
    return Buffer.from(stdout).toString().trim();
  }

  /** A command in the container that has to fail: what it says on standard error. */
  async execFails(containerId: string, ...cmd: string[]): Promise<string> {
    const { stdout, stderr, exitCode } = await this.runtime.execSync({ containerId, cmd, timeout: 20n });
    assert.notEqual(exitCode, 0, `${cmd.join(" ")} succeeded: ${Buffer.from(stdout).toString()}`);
    return Buffer.from(stderr).toString().trim();
  }

  /** The lines of the container's log. */
  async log(containerId: string): Promise<LogLine[]> {
    const { logPath } = await this.status(containerId);
    return parseLog(readFileSync(logPath));
  }

  /** The reference of one of the suite's images that specs share. */
  imageRef(name: string): Promise<string> {
    return this.session.image(name);
  }

  /** Pulls one of the suite's images, which no other spec uses, and removes it at the end; its reference and its whole name. */
  async pull(name: string): Promise<{ readonly name: string; readonly ref: string }> {
    const image = this.session.imageName(name);
    const { imageRef } = await this.images.pullImage({ image: { image } });
    this.defer(async () => {
      await this.images.removeImage({ image: { image: imageRef } });
    });
    return { name: image, ref: imageRef };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#undo[Symbol.asyncDispose]();
  }
}

/** Clean-up of what a spec may have removed already; whether that is an error at all is for the specs on idempotence to say. */
async function unlessGone(removal: Promise<unknown>): Promise<void> {
  try {
    await removal;
  } catch (error) {
    if (!isTripodError(error, "not-found")) throw error;
  }
}

/** The error of a call that has to be refused, with one of `codes` where any are given. */
export async function refused(call: Promise<unknown>, ...codes: TripodError["code"][]): Promise<TripodError> {
  let reply: unknown;
  try {
    reply = await call;
  } catch (error) {
    if (!isTripodError(error) || (error.code === "unimplemented" && !codes.includes("unimplemented"))) throw error;
    if (codes.length > 0) {
      assert.ok(
        codes.includes(error.code),
        `refused with ${error.code} instead of ${codes.join(" or ")}: ${error.message}`,
      );
    }
    return error;
  }
  throw new assert.AssertionError({
    message: `accepted what has to be refused: ${JSON.stringify(reply, bigintAsText)}`,
  });
}

const bigintAsText = (_key: string, value: unknown): unknown => (typeof value === "bigint" ? String(value) : value);
