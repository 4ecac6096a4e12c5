import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ImageService, RuntimeService } from "@tripod/api/cri";
import { KeyedMutex, type Layout, type Logger, Records, TaskOwner, TripodError } from "@tripod/base";
import { type CniPlugin, CniRuntime } from "@tripod/cni";
import { implement, serveGrpc, socketIsLive } from "@tripod/grpc";
import { cgroupHierarchies } from "@tripod/linux";
import { CdiDevices, type CgroupAbilities, Images } from "@tripod/oci";
import { StreamingServer } from "@tripod/streaming";
import { containersOf } from "./container/containers-of.ts";
import { recordExit } from "./container/exit.ts";
import { ExitWatch } from "./container/exit-watch.ts";
import { containerHandlers } from "./container/handlers.ts";
import { containerStatus } from "./container/view.ts";
import type { CriContext } from "./context.ts";
import type { CriConfig } from "./cri-config.ts";
import { ContainerEvents } from "./events.ts";
import { LiveConfig } from "./live-config.ts";
import { imageHandlers } from "./image/handlers.ts";
import { Nri } from "./nri/nri.ts";
import { noteBoot } from "./reconcile/boot.ts";
import { reconcile } from "./reconcile/reconcile.ts";
import type { ContainerRecord } from "./records/container-record.ts";
import { JoinedWork } from "./records/joined-work.ts";
import { ResourceStore } from "./records/resource-store.ts";
import type { SandboxRecord } from "./records/sandbox-record.ts";
import { cgroupDriverOf } from "./runtime/cgroup-driver.ts";
import { makeHandlers } from "./runtime/handler.ts";
import { runtimeHandlers } from "./runtime/handlers.ts";
import { sandboxHandlers } from "./sandbox/handlers.ts";
import { sandboxStatus } from "./sandbox/view.ts";
import { statsHandlers } from "./stats/handlers.ts";
import { WritableUsages } from "./stats/writable-usage.ts";
import { streamingRpcs } from "./streaming/handlers.ts";
import { streamingHandlers } from "./streaming/sessions.ts";

export interface StartCriOptions {
  readonly layout: Layout;
  readonly log: Logger;
  /** CNI plugins that are called in this process, by type. */
  readonly cniPlugins?: ReadonlyMap<string, CniPlugin>;
  readonly config?: CriConfig;
}

/** A running CRI server. close() ends it, and leaves every container running. */
export interface CriServer extends AsyncDisposable {
  readonly socket: string;
  /**
   * Puts the configuration that `read` returns in force for all that is made from now on; the settings that wait for a restart. An error, of
   * `read` or about the handlers, changes nothing, is told by Status, and is thrown.
   */
  reload(read: () => CriConfig): readonly string[];
  close(): Promise<void>;
}

const cgroupAbilities = (): CgroupAbilities => {
  const { version, v1, unified } = cgroupHierarchies();
  const memory = v1.get("memory");
  const controllers =
    version === "v2" ? readFileSync(join(unified ?? "", "cgroup.controllers"), "utf8").split(/\s/) : [];
  return {
    version,
    swapLimit:
      version === "v2"
        ? existsSync("/proc/swaps")
        : memory !== undefined && existsSync(join(memory, "memory.memsw.limit_in_bytes")),
    hugetlb: version === "v2" ? controllers.includes("hugetlb") : v1.has("hugetlb"),
  };
};

/** Where vendors put their spec files. */
const cdiSpecDirs = (layout: Layout): string[] =>
  layout.root === undefined ? ["/etc/cdi", "/var/run/cdi"] : [join(layout.etcDir, "cdi"), join(layout.runDir, "cdi")];

/** Serves CRI v1 on `layout.criSocket`, once records and kernel agree. */
export async function startCri(options: StartCriOptions): Promise<CriServer> {
  const { layout, log, config = {} } = options;
  await using owned = new AsyncDisposableStack();
  const exitDir = join(layout.runDir, "exits");
  for (const folder of [layout.runDir, exitDir, layout.sandboxesDir, layout.containersDir]) {
    mkdirSync(folder, { recursive: true, mode: 0o711 });
  }
  if (await socketIsLive(layout.criSocket)) {
    throw new TripodError(
      "already-exists",
      `cri: another process serves ${layout.criSocket}; stop that one or use another --root`,
    );
  }
  // No sandbox and no container outlives a power cut; what is then left on the disk without a record, reconcile() removes.
  const records = owned.use(Records.open(join(layout.recordsDir, "cri.sqlite"), { survives: "crash" }));
  const images = owned.use(await Images.open({ layout, log, snapshotter: config.snapshotter ?? "overlay" }));
  const cni = owned.use(
    new CniRuntime({
      confDir: layout.cniConfDir,
      binDirs: layout.cniBinDirs,
      cacheDir: layout.cniCacheDir,
      ...(options.cniPlugins !== undefined && { plugins: options.cniPlugins }),
      log,
    }),
  );
  await cni.load();
  const sandboxes = new ResourceStore<SandboxRecord>("sandbox", records.table("sandboxes"));
  const containers = new ResourceStore<ContainerRecord>("container", records.table("containers"));
  const exits = new ExitWatch(exitDir);
  const tasks = owned.use(new TaskOwner("cri", log));
  const live = new LiveConfig(config, (wanted) => makeHandlers({ layout, config: wanted, exitDir, tasks }));
  const context: CriContext = {
    layout,
    log,
    live,
    get config() {
      return live.config;
    },
    get handlers() {
      return live.handlers;
    },
    images,
    cni,
    cgroup: cgroupAbilities(),
    cgroupDriver: cgroupDriverOf(config),
    cdi: new CdiDevices(config.cdiSpecDirs ?? cdiSpecDirs(layout)),
    sandboxes,
    containers,
    nri: new Nri(() => context),
    events: new ContainerEvents((sandboxId) => describe(context, sandboxId)),
    exits,
    writableUsages: new WritableUsages(images),
    locks: new KeyedMutex(),
    sandboxCreations: new JoinedWork(),
    containerCreations: new JoinedWork(),
    creationsInSandbox: new Map(),
    tasks,
  };
  owned.defer(() => context.events.close());
  owned.defer(() => exits.stop());
  exits.start((id) => recordExit(context, id), log); // before the look at what is there, so that nothing falls between
  for (const { runtime } of new Set(context.handlers.values())) await runtime.recover();
  await reconcile(context, { rebooted: noteBoot(records) });
  owned.defer(() => context.nri[Symbol.asyncDispose]());
  await context.nri.start();
  const streaming = owned.use(
    await StreamingServer.start({
      address: config.streamingAddress ?? "127.0.0.1",
      port: 0,
      handlers: streamingHandlers(context),
      log,
    }),
  );
  // Creations under way end before what they stand on is closed.
  owned.defer(async () => {
    await Promise.all([context.sandboxCreations.settled(), context.containerCreations.settled()]);
  });
  const server = owned.use(
    await serveGrpc({
      socket: layout.criSocket,
      services: [
        implement(RuntimeService, {
          ...runtimeHandlers(context),
          ...sandboxHandlers(context),
          ...containerHandlers(context),
          ...streamingRpcs(context, streaming),
          ...statsHandlers(context),
        }),
        implement(ImageService, imageHandlers(context)),
      ],
      traced: isTraced,
    }),
  );
  log.info(
    { socket: server.socket, sandboxes: sandboxes.list().length, containers: containers.list().length },
    "cri: serving",
  );
  const held = owned.move();
  const close = (): Promise<void> => held.disposeAsync();
  return {
    socket: server.socket,
    reload: (read) => live.reload(read),
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** Questions that the kubelet asks every second would drown what happens. */
const isTraced = (method: string): boolean =>
  !/\/(List|Stream|Status|Version|.*Stats|.*Metrics|.*Status|ImageFsInfo|GetContainerEvents)/.test(method);

function describe(context: CriContext, sandboxId: string) {
  const sandbox = context.sandboxes.find(sandboxId);
  const containers = containersOf(context, sandboxId).filter((container) => container.phase !== "making");
  return {
    ...(sandbox !== undefined && { podSandboxStatus: sandboxStatus(context, sandbox) }),
    containersStatuses: containers.map((container) => containerStatus(context, container)),
  };
}
