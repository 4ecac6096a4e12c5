import { join } from "node:path";
import type { CreateVolumeRequest, ControllerPublishVolumeRequest } from "@tripod/api/csi";
import type { CSIDriver } from "@tripod/api/kubernetes";
import { type Layout, TripodError } from "@tripod/base";
import { type ControllerMethods, defineDriver, type DriverFeatures, serveDriver } from "@tripod/csi";
import { csiDrivers, csiNodes, type KubeClient } from "@tripod/kube";
import type { MemoryGrowth } from "./memory-growth.ts";
import type { MemorySnapshots } from "./memory-snapshots.ts";

export const driverName = "memory.csi.test";

/** What a test adds to a driver. */
export interface MoreOfDriver {
  readonly spec?: CSIDriver["spec"];
  readonly features?: DriverFeatures;
  readonly controller?: Partial<ControllerMethods>;
}

/** A CSI driver with a real socket whose volumes are entries of a map; a test may make its calls fail. */
export class MemoryDriver {
  readonly volumes = new Map<string, CreateVolumeRequest>();
  /** "volume node" of what is published. */
  readonly published = new Set<string>();
  /** Thrown by the next calls of createVolume, one each. */
  readonly createFailures: TripodError[] = [];
  readonly deleteFailures: TripodError[] = [];
  readonly publishFailures: TripodError[] = [];
  readonly unpublishFailures: TripodError[] = [];
  createCalls = 0;
  /** Called after each volume that was published. */
  onPublished: (() => void) | undefined;
  /** Called with each volume that was made, before the reply. */
  onCreated: ((request: CreateVolumeRequest) => Promise<void>) | undefined;

  /** Serves the driver and registers it, also with the API server as if a kubelet had. */
  async start(
    stack: AsyncDisposableStack,
    layout: Layout,
    client: KubeClient,
    options: {
      nodes: readonly string[];
      attachRequired?: boolean;
      snapshots?: MemorySnapshots;
      growth?: MemoryGrowth;
      also?: MoreOfDriver;
    },
  ): Promise<void> {
    const { nodes, attachRequired = false, snapshots, growth, also } = options;
    await client
      .resource(csiDrivers)
      .create({ metadata: { name: driverName }, spec: { attachRequired, ...also?.spec } });
    for (const name of nodes)
      await client.resource(csiNodes).create({
        metadata: { name },
        spec: { drivers: [{ name: driverName, nodeID: `id-${name}`, topologyKeys: ["topology.test/node"] }] },
      });
    const driver = defineDriver({
      name: driverName,
      version: "1",
      features: { topology: true, cloneVolume: true, ...growth?.features, ...also?.features },
      controller: {
        createVolume: (request) => this.#create(request),
        deleteVolume: async ({ volumeId }) => {
          const failure = this.deleteFailures.shift();
          if (failure !== undefined) throw failure;
          this.volumes.delete(volumeId);
          return {};
        },
        controllerPublishVolume: (request) => this.#publish(request),
        controllerUnpublishVolume: async ({ volumeId, nodeId }) => {
          const failure = this.unpublishFailures.shift();
          if (failure !== undefined) throw failure;
          this.published.delete(`${volumeId} ${nodeId}`);
          return {};
        },
        validateVolumeCapabilities: async () => ({}),
        ...snapshots?.controller,
        ...growth?.controller,
        ...also?.controller,
      },
      ...(growth?.node === undefined ? {} : { node: growth.node }),
      ...(snapshots === undefined ? {} : { groupController: snapshots.groupController }),
    });
    stack.use(
      await serveDriver({
        endpoint: `unix://${join(layout.kubeletDir, "plugins", driverName, "csi.sock")}`,
        driver,
        registrationDir: layout.pluginsRegistryDir,
      }),
    );
  }

  async #create(request: CreateVolumeRequest) {
    this.createCalls += 1;
    const failure = this.createFailures.shift();
    if (failure !== undefined) throw failure;
    const volumeId = `id-${request.name}`;
    this.volumes.set(volumeId, request);
    await this.onCreated?.(request);
    const topology = request.accessibilityRequirements?.preferred[0];
    return {
      volume: {
        volumeId,
        capacityBytes: request.capacityRange?.requiredBytes ?? 0n,
        volumeContext: { made: "yes" },
        ...(request.volumeContentSource === undefined ? {} : { contentSource: request.volumeContentSource }),
        accessibleTopology: topology === undefined ? [] : [{ segments: topology.segments }],
      },
    };
  }

  async #publish({ volumeId, nodeId }: ControllerPublishVolumeRequest) {
    const failure = this.publishFailures.shift();
    if (failure !== undefined) throw failure;
    this.published.add(`${volumeId} ${nodeId}`);
    this.onPublished?.();
    return { publishContext: { device: "/dev/x" } };
  }
}
