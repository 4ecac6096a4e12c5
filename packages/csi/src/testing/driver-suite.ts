import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { TestContext } from "node:test";
import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  ControllerServiceCapability_RPC_Type as ControllerRpc,
  NodeServiceCapability_RPC_Type as NodeRpc,
  PluginCapability_Service_Type as Service,
  type Volume,
  VolumeCapability_AccessMode_Mode as Mode,
  type VolumeCapabilitySchema,
  type VolumeContentSourceSchema,
} from "@tripod/api/csi";
import { type ErrorCode, isTripodError, randomHex } from "@tripod/base";
import { connectDriver, type CsiDriverClient } from "../connect-driver.ts";

/** A driver that is served somewhere, in a state in which the suite may make and remove volumes of its own. */
export interface DriverUnderTest {
  /** unix:///path or the bare path. */
  readonly endpoint: string;
  /** StorageClass parameters for the volumes that the suite makes. */
  readonly parameters?: Readonly<Record<string, string>>;
  /** The size to ask for; 1 MiB unless told. Expansion asks for twice as much. */
  readonly sizeBytes?: bigint;
  /** The file system of mounted volumes; the driver's own choice unless told. */
  readonly fsType?: string;
  /** Words of mount(8) with which its volumes may be mounted, seen in mountinfo; none unless told. */
  readonly mountFlags?: readonly string[];
  /** What a VolumeAttributesClass may set. */
  readonly mutableParameters?: Readonly<Record<string, string>>;
  /** Whether volumes are served as block devices, too. */
  readonly block?: boolean;
  /** Whether the file system of a volume in use may grow; true unless told. */
  readonly growsInUse?: boolean;
}

/** For assert.rejects(): a TripodError with one of these codes. */
export const failsWith =
  (...codes: ErrorCode[]) =>
  (error: unknown): boolean => {
    assert.ok(isTripodError(error, ...codes), `${String(error)} is not one of: ${codes.join(", ")}`);
    return true;
  };

export interface PublishOptions {
  readonly readonly?: boolean;
  readonly mode?: Mode;
  readonly block?: boolean;
  readonly mountFlags?: readonly string[];
}

/** Registers one test that is given the suite. */
export type Spec = (name: string, body: (suite: DriverSuite, context: TestContext) => Promise<void> | void) => void;

type Capability = MessageInitShape<typeof VolumeCapabilitySchema>;
/** What a spec asks for otherwise than createRequest() does. */
interface CreateChange {
  readonly volumeCapabilities?: Capability[];
  readonly volumeContentSource?: MessageInitShape<typeof VolumeContentSourceSchema>;
  readonly capacityRange?: { readonly requiredBytes: bigint; readonly limitBytes?: bigint };
  readonly mutableParameters?: Record<string, string>;
}

/** A published volume. */
export interface Published {
  readonly targetPath: string;
  /** Empty for a driver that does not stage. */
  readonly stagingTargetPath: string;
  readonly request: Parameters<CsiDriverClient["node"]["nodePublishVolume"]>[0];
  readonly undo: () => Promise<void>;
}

/** What the specs of the conformance suite share: a client, what the driver can do, and volumes that are removed at the end. */
export class DriverSuite implements AsyncDisposable {
  readonly driver: DriverUnderTest;
  readonly client: CsiDriverClient;
  readonly dir = mkdtempSync(join(tmpdir(), "tripod-csi-"));
  readonly controllerRpcs: ReadonlySet<ControllerRpc>;
  readonly nodeRpcs: ReadonlySet<NodeRpc>;
  readonly services: ReadonlySet<Service>;
  readonly nodeId: string;
  readonly #made = new Set<string>();

  private constructor(
    facts: Pick<DriverSuite, "driver" | "client" | "controllerRpcs" | "nodeRpcs" | "services" | "nodeId">,
  ) {
    this.driver = facts.driver;
    this.client = facts.client;
    this.controllerRpcs = facts.controllerRpcs;
    this.nodeRpcs = facts.nodeRpcs;
    this.services = facts.services;
    this.nodeId = facts.nodeId;
  }

  static async open(driver: DriverUnderTest): Promise<DriverSuite> {
    const client = connectDriver(driver.endpoint, { timeoutMs: 30_000 });
    const { capabilities } = await client.identity.getPluginCapabilities({});
    const ofController = (await client.controller.controllerGetCapabilities({})).capabilities;
    const ofNode = (await client.node.nodeGetCapabilities({})).capabilities;
    return new DriverSuite({
      driver,
      client,
      services: new Set(capabilities.flatMap(({ type }) => (type.case === "service" ? [type.value.type] : []))),
      controllerRpcs: new Set(ofController.flatMap(({ type }) => (type.case === "rpc" ? [type.value.type] : []))),
      nodeRpcs: new Set(ofNode.flatMap(({ type }) => (type.case === "rpc" ? [type.value.type] : []))),
      nodeId: (await client.node.nodeGetInfo({})).nodeId,
    });
  }

  get sizeBytes(): bigint {
    return this.driver.sizeBytes ?? 1024n * 1024n;
  }

  get stages(): boolean {
    return this.nodeRpcs.has(NodeRpc.STAGE_UNSTAGE_VOLUME);
  }

  get attaches(): boolean {
    return this.controllerRpcs.has(ControllerRpc.PUBLISH_UNPUBLISH_VOLUME);
  }

  /** Skips the test, with the capability that is missing, unless the driver has it. */
  lacks(context: TestContext, name: keyof typeof ControllerRpc): boolean {
    if (this.controllerRpcs.has(ControllerRpc[name])) return false;
    context.skip(`the driver has no ${name}`);
    return true;
  }

  capability(options: Omit<PublishOptions, "readonly"> = {}): Capability {
    const { mode = Mode.SINGLE_NODE_WRITER, block = false, mountFlags = [] } = options;
    const { fsType = "" } = this.driver;
    return {
      accessType: block
        ? { case: "block", value: {} }
        : { case: "mount", value: { fsType, mountFlags: [...mountFlags] } },
      accessMode: { mode },
    };
  }

  newName(): string {
    return `conformance-${randomHex(8)}`;
  }

  createRequest(name: string) {
    return {
      name,
      capacityRange: { requiredBytes: this.sizeBytes },
      volumeCapabilities: [this.capability()],
      parameters: { ...this.driver.parameters },
    };
  }

  async create(name = this.newName(), change: CreateChange = {}): Promise<Volume> {
    const { volume } = await this.client.controller.createVolume({ ...this.createRequest(name), ...change });
    assert.ok(volume !== undefined, "CreateVolume answers with a volume");
    this.#made.add(volume.volumeId);
    return volume;
  }

  async remove(volumeId: string): Promise<void> {
    await this.client.controller.deleteVolume({ volumeId });
    this.#made.delete(volumeId);
  }

  /** A volume published at `targetPath`, staged and attached before if the driver wants that; `undo` takes all of it back. */
  async publish({ volumeId, volumeContext }: Volume, options: PublishOptions = {}): Promise<Published> {
    const { controller, node } = this.client;
    const { nodeId } = this;
    const volumeCapability = this.capability(options);
    const readonly = options.readonly === true;
    const stagingTargetPath = this.stages ? join(this.dir, `staging-${randomHex(4)}`) : "";
    const targetPath = join(this.dir, randomHex(4), "mount");
    const attachment = { volumeId, nodeId, volumeCapability, readonly: false, volumeContext };
    const publishContext = this.attaches ? (await controller.controllerPublishVolume(attachment)).publishContext : {};
    const common = { volumeId, volumeCapability, publishContext, volumeContext, stagingTargetPath };
    if (this.stages) {
      mkdirSync(stagingTargetPath);
      await node.nodeStageVolume(common);
    }
    mkdirSync(dirname(targetPath));
    const request = { ...common, targetPath, readonly };
    await node.nodePublishVolume(request);
    const undo = async (): Promise<void> => {
      await node.nodeUnpublishVolume({ volumeId, targetPath });
      if (this.stages) await node.nodeUnstageVolume({ volumeId, stagingTargetPath });
      if (this.attaches) await controller.controllerUnpublishVolume({ volumeId, nodeId });
    };
    return { targetPath, stagingTargetPath, request, undo };
  }

  /** Publishes, lets `use` look at what is there, and takes it back. */
  async with(
    volume: Volume,
    use: (targetPath: string, published: Published) => Promise<void> | void,
    options?: PublishOptions,
  ) {
    const published = await this.publish(volume, options);
    await use(published.targetPath, published);
    await published.undo();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const volumeId of this.#made) await this.client.controller.deleteVolume({ volumeId });
    this.client[Symbol.dispose]();
    rmSync(this.dir, { recursive: true, force: true });
  }
}
