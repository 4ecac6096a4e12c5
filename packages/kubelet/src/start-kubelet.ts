import { mkdir } from "node:fs/promises";
import { EventRecorder, events, KubeClient, pods } from "@tripod/kube";
import { TaskOwner } from "@tripod/base";
import { askForPodCgroups } from "./containers/pod-cgroups.ts";
import { followContainers } from "./cri/container-events.ts";
import { connectCri } from "./cri/cri-client.ts";
import { ImageManager } from "./images/image-manager.ts";
import type { KubeletOptions } from "./kubelet-options.ts";
import { readMachine } from "./node/machine.ts";
import { NodeAgent } from "./node/node-agent.ts";
import { allocatableOf, type NodeFacts } from "./node/node-object.ts";
import { clusterObjects } from "./objects/cluster-objects.ts";
import { podEvents } from "./objects/event-writer.ts";
import { CsiRegistrar } from "./plugins/csi-registrar.ts";
import { followPlugins } from "./plugins/follow-plugins.ts";
import { rotateLogs } from "./pods/log-rotation.ts";
import { PodChanges } from "./pods/pod-changes.ts";
import type { PodContext } from "./pods/pod-context.ts";
import { nameOf, namespaceOf } from "./pods/pod-facts.ts";
import { PodManager } from "./pods/pod-manager.ts";
import { StatusWriter } from "./pods/status-writer.ts";
import { UserNamespaces } from "./pods/user-namespaces.ts";
import { startKubeletServer } from "./server/kubelet-server.ts";
import { CsiDrivers } from "./volumes/csi-drivers.ts";
import { followOrphans } from "./volumes/follow-orphans.ts";
import type { CsiPublication } from "./volumes/csi-publication.ts";
import { followHealth } from "./volumes/volume-health.ts";
import { VolumeStats } from "./volumes/volume-stats.ts";
import { VolumeManager } from "./volumes/volume-manager.ts";

/** A running kubelet. */
export interface Kubelet extends AsyncDisposable {
  /** Of the HTTPS endpoint. */
  readonly port: number;
  /** Stops looking after Pods. Their containers and volumes stay as they are: the next start takes them over. */
  close(): Promise<void>;
}

/** The names by which API servers present themselves to kubelets: upstream's, kubeadm's and our own. */
/** How long after the start Pods wait for a CSI driver to register before its absence is told. */
const driversSettleMs = 10_000;

const defaultClientNames = [
  "kube-apiserver-kubelet-client",
  "kube-apiserver",
  "system:kube-apiserver",
  "tripod-apiserver",
];

/** Starts a kubelet: resolves when the node is registered and its endpoint listens. */
export async function startKubelet(options: KubeletOptions): Promise<Kubelet> {
  const { layout, nodeName, log } = options;
  const nodeIps = typeof options.nodeIp === "string" ? [options.nodeIp] : options.nodeIp;
  await using stack = new AsyncDisposableStack();
  for (const dir of [layout.kubeletDir, layout.pluginsRegistryDir, layout.podLogsDir]) {
    await mkdir(dir, { recursive: true, mode: 0o750 });
  }
  const startedAtMs = Date.now();
  const machine = await readMachine(layout.kubeletDir);
  const client = stack.use(KubeClient.fromKubeconfig(options.kubeconfig, { userAgent: "tripod-kubelet" }));
  const cri = stack.use(connectCri(options.criSocket));
  const recorder = stack.use(
    new EventRecorder({ events: client.resource(events), component: "kubelet", host: nodeName, log }),
  );
  const podEventsWriter = podEvents(recorder, nodeName);
  const objects = stack.use(clusterObjects(client, log));
  const drivers = stack.use(new CsiDrivers({ settleMs: driversSettleMs }));
  const changes = new PodChanges();

  const registrar = stack.use(new CsiRegistrar({ client, nodeName, drivers, log }));

  // The node publishes the volumes in use, and the volumes announce them: each is told of the other below.
  const volumes = new VolumeManager({
    kubeletDir: layout.kubeletDir,
    flexDriversDir: layout.flexDriversDir,
    nodeName,
    drivers,
    objects,
    publishInUse: () => agent.publishInUse(),
    events: podEventsWriter,
    ...(options.standIns === undefined ? {} : { standIns: options.standIns }),
    limitReached: (driver, signal) => registrar.refresh(driver, signal),
    log,
  });
  await volumes.recover();
  const publications = (): readonly CsiPublication[] => volumes.publications();
  const volumeStats = stack.use(new VolumeStats({ drivers, publications, log }));
  const userNamespaces = new UserNamespaces(layout.kubeletDir, log);
  await userNamespaces.recover();
  const statuses = new StatusWriter(
    (pod, patch) =>
      client
        .resource(pods)
        .patch(nameOf(pod), patch, { namespace: namespaceOf(pod), subresource: "status", type: "strategic" }),
    log,
  );
  stack.defer(() => statuses.stop());
  const context: PodContext = {
    layout,
    nodeName,
    hostIps: nodeIps,
    runtimeName: () => agent.runtimeName,
    cri,
    cgroups: askForPodCgroups(layout.cgroupParent, cri),
    images: new ImageManager(cri, podEventsWriter),
    volumes,
    userNamespaces,
    objects,
    statuses,
    events: podEventsWriter,
    allocatable: allocatableOf(machine),
    machine,
    clusterDns: { servers: options.clusterDns ?? [], domain: options.clusterDomain ?? "cluster.local" },
    log,
  };
  const manager = stack.use(new PodManager(client, context));
  const server = stack.use(
    await startKubeletServer({
      tls: options.tls,
      address: options.address,
      port: options.port,
      clientNames: options.clientNames ?? defaultClientNames,
      context: {
        cri,
        nodeName,
        kubeletDir: layout.kubeletDir,
        podLogsDir: layout.podLogsDir,
        startedAtMs,
        volumeStats,
        pods: () => manager.pods(),
        findPod: (namespace, name) => manager.find(namespace, name),
        onPodChange: (uid, listener) => changes.on(uid, listener),
        log,
      },
    }),
  );
  const facts: NodeFacts = {
    nodeName,
    machine,
    nodeIps,
    runtimeVersion: "",
    podCidr: options.podCidr,
    port: server.port,
  };
  const agent = stack.use(
    new NodeAgent({
      client,
      cri,
      kubeletDir: layout.kubeletDir,
      cniConfDir: layout.cniConfDir,
      facts,
      labels: options.labels ?? {},
      volumesInUse: () => volumes.volumesInUse(),
      log,
    }),
  );
  const tasks = stack.use(new TaskOwner("kubelet", log));
  const node = await agent.start();
  stack.defer(drivers.onRegistered(() => manager.wakeAll()));
  tasks.run("container events", (signal) =>
    followContainers({
      cri,
      log,
      signal,
      onPod(uid) {
        manager.wake(uid);
        changes.tell(uid);
      },
      onConnection() {
        agent.wake();
        manager.wakeAll();
      },
    }),
  );
  tasks.run("log rotation", (signal) => rotateLogs(cri, { podLogsDir: layout.podLogsDir, log, signal }));
  tasks.run("plugins", (signal) =>
    followPlugins({ registrar, node, pluginsRegistryDir: layout.pluginsRegistryDir, log, signal }),
  );
  manager.start();
  tasks.run("volume health", (signal) => followHealth({ drivers, publications, events: podEventsWriter, log, signal }));
  tasks.run("orphaned volumes", (signal) =>
    followOrphans({ volumes, drivers, podsKnown: manager.synced, log, signal }),
  );
  log.info({ node: nodeName, port: server.port, runtime: options.criSocket }, "kubelet started");
  const owned = stack.move();
  return {
    port: server.port,
    close: () => owned.disposeAsync(),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
