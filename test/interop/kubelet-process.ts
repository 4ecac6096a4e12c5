import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { TripodError } from "@tripod/base";
import { createCgroup, type MountInfo, mountInfo, removeCgroup } from "@tripod/linux";

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

  /** What is mounted inside. */
  list(): MountInfo[] {
    return mountInfo(this.#holder.pid);
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

/** A cluster that the kubelet joins. */
export interface KubeletCluster {
  readonly kubeconfig: string;
  /** Whom the kubeconfig names. */
  readonly nodeName: string;
  /** An address of this machine, not of 127.0.0.0/8, which a Node may not have. */
  readonly nodeIp: string;
  /** Certificate and key in one file, by which the API server knows the kubelet. */
  readonly servingPair: string;
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
  /** Without one it runs the Pods of a folder alone. */
  readonly cluster?: KubeletCluster;
}

/** Upstream's kubelet: one process at a time, started and killed at will. */
export class KubeletProcess implements AsyncDisposable {
  /** Its --root-dir, once it has been started. */
  readonly rootDir: string;
  /** Where its certificate stands, which is its own authority; in a cluster it shows another. */
  readonly certificate: string;
  readonly podsDir: string;
  readonly #command: [string, ...string[]];
  readonly #logFile: string;
  readonly #cgroupRoot: string;
  #child: ChildProcess | undefined;

  constructor(options: KubeletOptions) {
    const { dir, mounts, criSocket, cluster } = options;
    const at = (name: string): string => join(dir, name);
    this.rootDir = at("root");
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
      address: cluster?.nodeIp ?? "127.0.0.1",
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
      ...(cluster === undefined
        ? {}
        : {
            tlsCertFile: cluster.servingPair,
            tlsPrivateKeyFile: cluster.servingPair,
            // Volumes are mounted, and detached, once the Node has told that they are in use, or no longer.
            nodeStatusUpdateFrequency: "1s",
            // A claim's growth is noticed when its Pod is looked at again.
            syncFrequency: "1s",
            nodeLeaseDurationSeconds: 8,
            volumeStatsAggPeriod: "1s",
          }),
    };
    writeFileSync(at("config.yaml"), JSON.stringify(config)); // JSON is YAML
    const flags = {
      config: at("config.yaml"),
      "root-dir": this.rootDir,
      "cert-dir": at("pki"),
      "hostname-override": cluster?.nodeName ?? "node-a",
      v: "2",
      ...(cluster === undefined ? {} : { kubeconfig: cluster.kubeconfig, "node-ip": cluster.nodeIp }),
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
