import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { create as createMessage, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type ContainerConfigSchema,
  ContainerState,
  type ContainerStatus,
  ImageService,
  LinuxSandboxSecurityContextSchema,
  NamespaceMode,
  NamespaceOptionSchema,
  type PodSandboxConfigSchema,
  RuntimeService,
} from "@tripod/api/cri";
import { type Layout, silentLogger } from "@tripod/base";
import { defaultConflist } from "@tripod/cni";
import { type Client, GrpcChannel } from "@tripod/grpc";
import { cgroupChildren, isolateNetwork, mountInfo, mountTmpfs, openRtnetlink, removeCgroup } from "@tripod/linux";
import { checkRuntimeSpec } from "@tripod/oci";
import { startRegistry, tempRoot } from "@tripod/testing";
import type { CriConfig } from "../cri-config.ts";
import { instanceCgroups } from "../runtime/cgroup-driver.ts";
import { type CriServer, startCri } from "../start-cri.ts";
import { pushBusyboxImage } from "./busybox-image.ts";
import { testConfig } from "./test-config.ts";
import { testPlugins } from "./test-plugins.ts";

/** Fields of a configuration, as plain objects. */
export type SandboxInit = Omit<MessageInitShape<typeof PodSandboxConfigSchema>, "$typeName" | "$unknown">;
export type ContainerInit = Omit<MessageInitShape<typeof ContainerConfigSchema>, "$typeName" | "$unknown">;

let isolated = false;
let serial = 0;

/** A CRI server on a root and a network of its own, with a busybox image, and a client of it. */
export interface TestNode extends AsyncDisposable {
  readonly layout: Layout;
  readonly image: string;
  readonly runtime: Client<typeof RuntimeService>;
  readonly images: Client<typeof ImageService>;
  readonly socket: string;
  /** A new sandbox configuration whose logs go below the root. */
  sandboxConfig(change?: SandboxInit): SandboxInit;
  /** Creates a container of the image that runs `sh -c script`; its id. */
  create(sandboxId: string, script: string, change?: ContainerInit): Promise<string>;
  /** Creates and starts one. */
  run(sandboxId: string, script: string, change?: ContainerInit): Promise<string>;
  /** Waits, by the server's events, until the container is in the state. */
  reached(containerId: string, state: ContainerState): Promise<ContainerStatus>;
  /** What the log of a container holds, without times: "stdout F hello". */
  log(containerId: string): Promise<string[]>;
  /** Ends the server by SIGKILL (only one in a process of its own). */
  kill(): Promise<void>;
  /** Starts the server again in a process of its own, with TRIPOD_FAILPOINT when given, as the last arguments of a command when given. */
  start(failpoint?: string, through?: readonly string[]): Promise<void>;
  /** Ends the server in this process and starts it again with another configuration. */
  restart(config: CriConfig): Promise<void>;
  /** Resolves when the server's process has ended. */
  died(): Promise<void>;
  /** What is left of sandboxes and containers on the machine; [] when nothing is. */
  leaks(): string[];
}

/** A failpoint that is reached kills at once. */
const diesWithinMs = 20_000;

/** Starts one; in this process unless `ownProcess`. The calling process leaves the machine's network for good. */
export async function startTestNode(
  options: {
    readonly ownProcess?: boolean;
    readonly subnet?: string;
    readonly config?: CriConfig;
    /** The root is a file system of its own, of this size. */
    readonly rootSizeBytes?: number;
  } = {},
): Promise<TestNode> {
  if (!isolated) isolateNetwork();
  isolated = true;
  await using undo = new AsyncDisposableStack();
  const config = { ...testConfig(), ...options.config };
  const root = undo.use(tempRoot());
  const { layout } = root;
  if (options.rootSizeBytes !== undefined) mountTmpfs(root.path, { sizeBytes: options.rootSizeBytes, mode: 0o755 });
  chmodSync(root.path, 0o711); // root of a user namespace passes through it
  undo.defer(async () => {
    for (const cgroup of instanceCgroups(layout)) await removeCgroup(cgroup);
  });
  const registry = undo.use(await startRegistry());
  const image = await pushBusyboxImage(registry.host);
  mkdirSync(layout.cniConfDir, { recursive: true });
  const subnet = options.subnet ?? "10.77.0.0/24";
  const conflist = defaultConflist({ bridge: layout.bridge, subnet, dataDir: layout.cniDataDir, bandwidth: true });
  writeFileSync(join(layout.cniConfDir, "10-test.conflist"), JSON.stringify(conflist));
  const channel = undo.use(new GrpcChannel({ socket: layout.criSocket }));
  const runtime = channel.client(RuntimeService);
  const images = channel.client(ImageService);

  let child: ChildProcess | undefined;
  const died = async (): Promise<void> => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    await once(child, "exit", { signal: AbortSignal.timeout(diesWithinMs) }).catch((cause: unknown) => {
      throw new Error(`the server lives after ${diesWithinMs} ms: its failpoint was not reached`, { cause });
    });
  };
  const kill = async (): Promise<void> => {
    child?.kill("SIGKILL");
    await died();
  };
  const start = async (failpoint?: string, through: readonly string[] = []): Promise<void> => {
    const main = join(import.meta.dirname, "serve-main.ts");
    const cache = { NODE_COMPILE_CACHE: join(layout.root ?? "", "compile-cache") }; // it starts dozens of times
    const env = { ...process.env, ...cache, ...(failpoint !== undefined && { TRIPOD_FAILPOINT: failpoint }) };
    const [program, ...args] = [...through, process.execPath, main, layout.root ?? "", JSON.stringify(config)] as const;
    const started = spawn(program ?? "", args, { env, stdio: ["ignore", "pipe", "inherit"] });
    child = started;
    await Promise.race([once(started.stdout, "data"), once(started, "exit")]);
  };
  let server: CriServer | undefined;
  const serve = (wanted: CriConfig): Promise<CriServer> =>
    startCri({ layout, log: silentLogger, cniPlugins: testPlugins, config: wanted });
  if (options.ownProcess === true) {
    await start();
    undo.defer(kill);
  } else {
    server = await serve(config);
    undo.defer(() => server?.close());
  }
  await images.pullImage({ image: { image } });
  undo.defer(async () => {
    // Whatever a failed test has left goes before the server does.
    if (child !== undefined && (child.exitCode !== null || child.signalCode !== null)) await start();
    for (const { id } of (await runtime.listPodSandbox({})).items) await runtime.removePodSandbox({ podSandboxId: id });
  });

  const create = async (sandboxId: string, script: string, change: ContainerInit = {}): Promise<string> => {
    serial += 1;
    const { containerId } = await runtime.createContainer({
      podSandboxId: sandboxId,
      config: {
        metadata: { name: `c${serial}`, attempt: 0 },
        image: { image },
        command: ["sh", "-c", script],
        logPath: `c${serial}.log`,
        ...change,
      },
    });
    const config = readFileSync(join(layout.containersDir, containerId, "config.json"), "utf8");
    assert.deepEqual(checkRuntimeSpec(JSON.parse(config)), [], "every config.json is as the specification has it");
    return containerId;
  };
  const reached = async (containerId: string, state: ContainerState): Promise<ContainerStatus> => {
    const stop = new AbortController();
    const events = runtime.getContainerEvents({}, { signal: stop.signal })[Symbol.asyncIterator]();
    try {
      for (;;) {
        // The stream is asked first, so that nothing happens unseen between looking and waiting.
        const next = events.next();
        const { status } = await runtime.containerStatus({ containerId });
        if (status?.state === state) {
          next.catch(() => {}); // ended by us below
          return status;
        }
        await Promise.race([next, new Promise((resolve) => setTimeout(resolve, 250))]);
        next.catch(() => {}); // the server may be gone; the next look says so
      }
    } finally {
      stop.abort();
    }
  };
  const held = undo.move();
  return {
    layout,
    image,
    runtime,
    images,
    socket: layout.criSocket,
    sandboxConfig({ linux, ...change } = {}) {
      serial += 1;
      const securityContext = createMessage(LinuxSandboxSecurityContextSchema, linux?.securityContext);
      securityContext.namespaceOptions ??= createMessage(NamespaceOptionSchema, { pid: NamespaceMode.CONTAINER });
      return {
        metadata: { name: `pod${serial}`, namespace: "test", uid: `uid${serial}`, attempt: 0 },
        hostname: `pod${serial}`,
        logDirectory: join(layout.podLogsDir, `pod${serial}`),
        ...change,
        linux: { ...linux, securityContext },
      };
    },
    create,
    async run(sandboxId, script, change) {
      const containerId = await create(sandboxId, script, change);
      await runtime.startContainer({ containerId });
      return containerId;
    },
    reached,
    async log(containerId) {
      const { status } = await runtime.containerStatus({ containerId });
      const lines = readFileSync(status?.logPath ?? "", "utf8")
        .trimEnd()
        .split("\n");
      return lines.map((line) => line.slice(line.indexOf(" ") + 1));
    },
    kill,
    async restart(config) {
      await server?.close();
      server = await serve(config);
    },
    start,
    died,
    leaks: () => leaksOf(layout),
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}

function leaksOf(layout: Layout): string[] {
  const root = layout.root ?? "";
  const names = (folder: string): string[] =>
    existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [];
  using rtnetlink = openRtnetlink();
  return [
    ...mountInfo()
      .map(({ mountPoint }) => mountPoint)
      .filter((path) => path.startsWith(`${root}/`)),
    ...names(layout.sandboxesDir),
    ...names(layout.containersDir),
    ...names(join(layout.libDir, "container-volumes")),
    ...names(join(layout.runDir, "handlers")).flatMap(handlerState),
    ...names(join(layout.runDir, "exits")),
    ...names(join(layout.runDir, "mounts")),
    ...names(join(layout.cniCacheDir, "results")),
    ...rtnetlink
      .links()
      .filter(({ kind }) => kind === "veth")
      .map(({ name }) => `link ${name}`),
    ...instanceCgroups(layout).flatMap((cgroup) => cgroupChildren(cgroup).map((name) => `cgroup ${cgroup}/${name}`)),
    ...processesIn(root),
  ];
}

/** What a handler's runtime keeps of containers: in its own folder, a shim's in `tasks`, and its runc's in `runc/NAMESPACE`. */
function handlerState(folder: string): string[] {
  const fixed = ["tasks", "runc"];
  const own = readdirSync(folder).filter((name) => !fixed.includes(name));
  const below = ["tasks", `runc/${basename(folder)}`]
    .map((name) => join(folder, name))
    .filter((path) => existsSync(path));
  return [folder, ...below].flatMap((path) =>
    (path === folder ? own : readdirSync(path)).map((name) => join(path, name)),
  );
}

/** Supervisors and runtimes that work below the root. */
function processesIn(root: string): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
        const ours =
          /(conmon|fuse-overlayfs|runc|containerd-shim-.*|sh)$/.test(words[0] ?? "") &&
          words.some((word) => word.includes(`${root}/`));
        return ours ? [`process ${pid} ${words.join(" ")}`] : [];
      } catch {
        return []; // it ended since readdir
      }
    });
}
