// A VolumeManager in a process of its own, for tests that kill it: argv[2] is a VolumesJob as JSON. Prints "done", or what went wrong.
import type { Pod } from "@tripod/api/kubernetes";
import { messageOf, silentLogger } from "@tripod/base";
import { EventRecorder, events, KubeClient } from "@tripod/kube";
import { clusterObjects } from "../objects/cluster-objects.ts";
import { podEvents } from "../objects/event-writer.ts";
import { CsiDrivers } from "../volumes/csi-drivers.ts";
import { VolumeManager } from "../volumes/volume-manager.ts";
import { bindDriverName } from "./bind-driver.ts";

export interface VolumesJob {
  readonly kubeletDir: string;
  readonly flexDriversDir?: string;
  readonly kubeconfig: string;
  /** Of the bind driver. */
  readonly endpoint: string;
  readonly pod: Pod;
  readonly work: "setUp" | "tearDown" | "unstageOrphans";
}

const job = JSON.parse(process.argv[2] ?? "{}") as VolumesJob; // the test's own
const client = KubeClient.fromKubeconfig(job.kubeconfig);
const drivers = new CsiDrivers();
drivers.register(bindDriverName, job.endpoint);
const volumes = new VolumeManager({
  kubeletDir: job.kubeletDir,
  flexDriversDir: job.flexDriversDir ?? "/nowhere",
  nodeName: "node-1",
  drivers,
  objects: clusterObjects(client, silentLogger),
  events: podEvents(
    new EventRecorder({ events: client.resource(events), component: "kubelet", log: silentLogger }),
    "node-1",
  ),
  publishInUse: async () => {},
  log: silentLogger,
});
const signal = AbortSignal.timeout(20_000);
try {
  await volumes.recover();
  if (job.work === "setUp") await volumes.setUp(job.pod, { podIps: [], hostIps: [], allocatable: {} }, signal);
  else if (job.work === "tearDown") await volumes.tearDown(job.pod.metadata?.uid ?? "", signal);
  else await volumes.unstageOrphans(signal);
  process.stdout.write("done\n", () => process.exit(0));
} catch (error) {
  process.stdout.write(`${messageOf(error)}\n`, () => process.exit(1));
}
