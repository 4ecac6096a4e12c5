import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { TripodError } from "@tripod/base";
import { createCgroup, removeCgroup } from "@tripod/linux";

/** What the kubelet writes into /proc/sys whatever it is told; each becomes a file of the test's own. */
const sysctls = [
  "vm/overcommit_memory",
  "vm/panic_on_oom",
  "kernel/panic",
  "kernel/panic_on_oops",
  "kernel/keys/root_maxkeys",
  "kernel/keys/root_maxbytes",
];

/** A mount namespace in which the folders and sysctls that a kubelet changes are copies. What is mounted outside comes in, nothing goes out. */
export class NodeMounts implements AsyncDisposable {
  readonly #holder: ChildProcess;

  private constructor(holder: ChildProcess) {
    this.#holder = holder;
  }

  static async make(dir: string): Promise<NodeMounts> {
    const script = [
      "mount --make-rshared /",
      ...["/var/log", "/var/lib"].map((path) => `mount -t tmpfs tmpfs ${path}`),
      ...sysctls.map(
        (name, index) => `cat /proc/sys/${name} >${dir}/${index} && mount --bind ${dir}/${index} /proc/sys/${name}`,
      ),
      // Pods in user namespaces may mount a /proc only where one stands that nothing covers.
      `mkdir ${dir}/proc && mount -t proc proc ${dir}/proc`,
      "echo ready",
      "exec cat",
    ].join(" && ");
    mkdirSync(dir);
    // It ends with this process, whose end of the pipe it reads.
    const holder = spawn("unshare", ["--mount", "--propagation", "slave", "sh", "-c", script], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    const [ready]: unknown[] = await Promise.race([once(holder.stdout, "data"), once(holder, "exit")]);
    if (!String(ready).startsWith("ready"))
      throw new TripodError("internal", `make a mount namespace for a kubelet: ${String(ready)}`);
    return new NodeMounts(holder);
  }

  /** The words that run a command inside. */
  enter(...command: readonly string[]): [string, ...string[]] {
    return ["nsenter", `--mount=/proc/${this.#holder.pid}/ns/mnt`, "--", ...command];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#holder, "exit");
    this.#holder.stdin?.end();
    await ended;
  }
}

export interface KubeletOptions {
  readonly program: string;
  /** Where everything of it lives, made when absent. */
  readonly dir: string;
  readonly mounts: NodeMounts;
  readonly criSocket: string;
  /** The cgroup above all of its Pods' own, as "/tripod-kubelet-1a2b"; made, and removed at the end. */
  readonly cgroupRoot: string;
  readonly featureGates: Readonly<Record<string, boolean>>;
}

/** A kubelet without an API server: it runs the Pods of a folder. One process at a time, started and killed at will. */
export class KubeletProcess implements AsyncDisposable {
  /** Where its certificate stands, which is its own authority. */
  readonly certificate: string;
  readonly podsDir: string;
  readonly #command: [string, ...string[]];
  readonly #logFile: string;
  readonly #cgroupRoot: string;
  #child: ChildProcess | undefined;

  constructor(options: KubeletOptions) {
    const { dir, mounts, criSocket } = options;
    const at = (name: string): string => join(dir, name);
    this.podsDir = at("manifests");
    this.certificate = at("pki/kubelet.crt");
    this.#logFile = at("kubelet.log");
    this.#cgroupRoot = options.cgroupRoot;
    mkdirSync(this.podsDir, { recursive: true });
    createCgroup(options.cgroupRoot);
    const never = "0%";
    const config = {
      apiVersion: "kubelet.config.k8s.io/v1beta1",
      kind: "KubeletConfiguration",
      address: "127.0.0.1",
      port: 10250,
      readOnlyPort: 10255,
      healthzPort: 0,
      staticPodPath: this.podsDir,
      fileCheckFrequency: "1s",
      authentication: { anonymous: { enabled: true }, webhook: { enabled: false } },
      authorization: { mode: "AlwaysAllow" },
      containerRuntimeEndpoint: `unix://${criSocket}`,
      failCgroupV1: false,
      failSwapOn: false,
      cgroupDriver: "cgroupfs",
      cgroupRoot: options.cgroupRoot,
      enforceNodeAllocatable: [],
      oomScoreAdj: 0,
      makeIPTablesUtilChains: false,
      podLogsDir: at("pod-logs"),
      volumePluginDir: at("volume-plugins"),
      // The machine's disk is whatever the developer left of it.
      evictionHard: {
        "memory.available": never,
        "nodefs.available": never,
        "nodefs.inodesFree": never,
        "imagefs.available": never,
        "imagefs.inodesFree": never,
      },
      imageGCHighThresholdPercent: 100,
      featureGates: options.featureGates,
    };
    writeFileSync(at("config.yaml"), JSON.stringify(config)); // JSON is YAML
    const flags = {
      config: at("config.yaml"),
      "root-dir": at("root"),
      "cert-dir": at("pki"),
      "hostname-override": "node-a",
      v: "2",
    };
    const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
    this.#command = mounts.enter(options.program, ...args);
  }

  start(): void {
    const log = openSync(this.#logFile, "a");
    const [program, ...args] = this.#command;
    this.#child = spawn(program, args, { stdio: ["ignore", log, log] });
    closeSync(log);
  }

  /** Whether it runs; one that ended says why at the end of its log. */
  get isRunning(): boolean {
    return this.#child?.exitCode === null && this.#child.signalCode === null;
  }

  get log(): string {
    return readFileSync(this.#logFile, "utf8");
  }

  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined || !this.isRunning) return;
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await removeCgroup(this.#cgroupRoot);
  }
}
