import type { ControllerExpandVolumeRequest, ControllerModifyVolumeRequest } from "@tripod/api/csi";
import { TripodError } from "@tripod/base";
import type { DriverFeatures, NodeMethods } from "@tripod/csi";

type Kind = "controller" | "node-too" | "node-only" | "none";

/** What a MemoryDriver does about volumes that are to grow, or to change; a test may make its calls fail. */
export class MemoryGrowth {
  /** Bytes of each volume that has grown. */
  readonly sizes = new Map<string, bigint>();
  readonly requests: ControllerExpandVolumeRequest[] = [];
  /** Thrown by the next calls, one each. */
  readonly failures: TripodError[] = [];
  /** Parameters of each volume that was modified. */
  readonly modified = new Map<string, Record<string, string>>();
  readonly modifications: ControllerModifyVolumeRequest[] = [];
  readonly modifyFailures: TripodError[] = [];
  /** No volume is larger. */
  limitBytes: bigint | undefined;
  /** Values of parameters that no volume can have. */
  readonly refused = new Set<string>();
  /** Called with the number of each request. */
  onRequest: ((count: number) => void) | undefined;
  /** Volumes that nobody has used yet, and that are made at their first use. */
  readonly unmade = new Set<string>();
  readonly #kind: Kind;
  readonly features: DriverFeatures;

  constructor(kind: Kind, expansion: "online" | "offline" = "online") {
    this.#kind = kind;
    this.features = { expansion };
  }

  get controller() {
    const hasPart = this.#kind === "controller" || this.#kind === "node-too";
    return {
      ...(hasPart
        ? { controllerExpandVolume: async (request: ControllerExpandVolumeRequest) => this.#expand(request) }
        : {}),
      controllerModifyVolume: async (request: ControllerModifyVolumeRequest) => this.#modify(request),
    };
  }

  get node(): NodeMethods | undefined {
    if (this.#kind !== "node-only") return undefined;
    return {
      nodeGetInfo: async () => ({ nodeId: "n" }),
      nodePublishVolume: async () => ({}),
      nodeUnpublishVolume: async () => ({}),
      nodeExpandVolume: async () => ({}),
    };
  }

  #expand(request: ControllerExpandVolumeRequest) {
    this.requests.push(request);
    this.onRequest?.(this.requests.length);
    const failure = this.failures.shift();
    if (failure !== undefined) throw failure;
    if (this.unmade.has(request.volumeId)) throw new TripodError("not-found", `no volume ${request.volumeId}`);
    const capacityBytes = request.capacityRange?.requiredBytes ?? 0n;
    if (this.limitBytes !== undefined && capacityBytes > this.limitBytes)
      throw new TripodError("out-of-range", `no volume is larger than ${this.limitBytes} bytes`);
    this.sizes.set(request.volumeId, capacityBytes);
    return { capacityBytes, nodeExpansionRequired: this.#kind === "node-too" };
  }

  #modify(request: ControllerModifyVolumeRequest) {
    this.modifications.push(request);
    const failure = this.modifyFailures.shift();
    if (failure !== undefined) throw failure;
    const refused = Object.values(request.mutableParameters).find((value) => this.refused.has(value));
    if (refused !== undefined) throw new TripodError("invalid", `there is no ${refused}`);
    this.modified.set(request.volumeId, { ...request.mutableParameters });
    return {};
  }
}
