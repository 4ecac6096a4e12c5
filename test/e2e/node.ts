import { type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type CommandResult, type Layout, layoutOf, type RunCommandOptions, TripodError } from "@tripod/base";
import { findKubectls, pushBusybox, type PushOptions, startRegistry, tempRoot } from "@tripod/testing";
import { makeNetwork, type TestNetwork } from "./network.ts";

const tripod = join(import.meta.dirname, "../../tripod");

/** The image of every e2e manifest: busybox, under a name that the node's hosts.toml maps to the test's registry. */
export const image = "registry.tripod.dev/quickstart/busybox:1";

export interface TestNodeOptions {
  /** Images that the node finds, on Docker Hub too: busybox with something more. */
  readonly images?: readonly ({ readonly name: string } & PushOptions)[];
}

/** A whole node under test, brought up by the CLI as a user would, in a network of its own. */
export class TestNode implements AsyncDisposable {
  readonly layout: Layout;
  readonly network: TestNetwork;
  readonly #stack: AsyncDisposableStack;
  #daemon: ChildProcess | undefined;

  private constructor(layout: Layout, network: TestNetwork, stack: AsyncDisposableStack) {
    this.layout = layout;
    this.network = network;
    this.#stack = stack;
  }

  /** Prepares a root with a registry that serves the e2e image; `up()` starts the node. */
  static async prepare({ images = [] }: TestNodeOptions = {}): Promise<TestNode> {
    await using stack = new AsyncDisposableStack();
    const dir = stack.use(tempRoot());
    const network = stack.use(makeNetwork());
    const blobs = join(dir.path, "registry");
    {
      // The image is pushed over our own loopback, and served from the same blobs on that of the test's network.
      await using outside = await startRegistry({ dir: blobs });
      await pushBusybox(outside, "quickstart/busybox:1");
      for (const each of images) await pushBusybox(outside, each.name, each);
    }
    const registry = stack.use(await startRegistry({ dir: blobs, netns: network.path }));
    const root = join(dir.path, "n");
    for (const name of ["registry.tripod.dev", "docker.io"]) {
      const hosts = join(root, "etc/certs.d", name);
      mkdirSync(hosts, { recursive: true });
      writeFileSync(
        join(hosts, "hosts.toml"),
        `[host."http://${registry.host}"]\n  capabilities = ["pull", "resolve"]\n`,
      );
    }
    return new TestNode(layoutOf(root), network, stack.move());
  }

  /** Prepares and brings up. */
  static async start(options: TestNodeOptions = {}): Promise<TestNode> {
    const node = await TestNode.prepare(options);
    try {
      await node.up();
      return node;
    } catch (error) {
      await node[Symbol.asyncDispose]();
      throw error;
    }
  }

  get root(): string {
    return this.layout.root ?? "";
  }

  /** `tripod up`; resolves with its ready line. */
  async up(env: NodeJS.ProcessEnv = {}): Promise<string> {
    const child = this.network.spawn(tripod, ["up", "--root", this.root], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...env },
    });
    this.#daemon = child;
    const errors: Buffer[] = [];
    child.stderr?.on("data", (chunk: Buffer) => errors.push(chunk));
    if (child.stdout === null) throw new TripodError("internal", "tripod up: no output");
    for await (const line of createInterface({ input: child.stdout })) {
      if (line.startsWith("tripod: ")) return line;
    }
    throw new TripodError("unavailable", `tripod up ended: ${Buffer.concat(errors).toString()}\n${this.logTail()}`);
  }

  /** Whether the daemon runs; a failpoint may have ended it. */
  get isUp(): boolean {
    const child = this.#daemon;
    return child !== undefined && child.exitCode === null && child.signalCode === null;
  }

  /** Sends the daemon a signal and waits for its end. */
  async kill(signal: NodeJS.Signals): Promise<void> {
    const child = this.#daemon;
    this.#daemon = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill(signal); // nsenter has become the daemon: it execs
    await ended;
  }

  /** The CLI with --root. */
  tripod(...args: string[]): Promise<CommandResult> {
    return this.network.run(tripod, [...args, "--root", this.root]);
  }

  kubectl(
    args: readonly string[],
    options: RunCommandOptions & { readonly path?: string } = {},
  ): Promise<CommandResult> {
    const path = options.path ?? findKubectls().at(-1)?.path ?? "kubectl";
    return this.network.run(path, ["--kubeconfig", this.layout.kubeconfig, ...args], options);
  }

  /** kubectl's standard output as text, trimmed. */
  async text(...args: string[]): Promise<string> {
    return (await this.kubectl(args)).stdout.toString().trim();
  }

  /** `kubectl apply -f -` of a manifest. */
  async apply(manifest: string, path?: string): Promise<string> {
    return (
      await this.kubectl(["apply", "-f", "-"], { input: manifest, ...(path === undefined ? {} : { path }) })
    ).stdout.toString();
  }

  /** The end of the daemon's log, for a failing test's message. */
  logTail(): string {
    try {
      return readFileSync(join(this.layout.libDir, "log/tripod.log"), "utf8").slice(-4000);
    } catch {
      return "(no log)";
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill("SIGTERM");
    try {
      await this.tripod("down");
    } finally {
      await this.#stack.disposeAsync();
    }
  }
}
