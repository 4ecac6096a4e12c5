import { mkdir, statfs } from "node:fs/promises";
import { isDeepStrictEqual } from "node:util";
import { type CapacityRange, type CreateVolumeRequest, type VolumeCapability } from "@tripod/api/csi";
import { failpoint, TripodError } from "@tripod/base";
import type { ControllerMethods } from "@tripod/csi";
import { isMountPoint } from "@tripod/linux";
import { allowsNode, topologyKey } from "./topology.ts";
import { unsupported } from "./volume-capability.ts";
import { type HostpathState, isVolumeId, type VolumeRecord } from "./volume-records.ts";

export interface ControllerOptions {
  readonly state: HostpathState;
  readonly nodeId: string;
  /** Whether volumes must be attached before they are published. */
  readonly attach: boolean;
}

/** What a volume has that was asked for without a size. */
const defaultCapacityBytes = 1024n * 1024n * 1024n;
const attachedKey = "attached-to";

/** The controller calls: folders with a record each. */
export function hostpathController(options: ControllerOptions): ControllerMethods {
  const { state, nodeId } = options;
  const topology = { segments: { [topologyKey]: nodeId } };
  const volumeOf = (volumeId: string, { capacityBytes }: VolumeRecord) => ({
    volumeId,
    capacityBytes: BigInt(capacityBytes),
    accessibleTopology: [topology],
  });
  return {
    async createVolume(request) {
      const volumeId = state.idOf(request.name);
      checkCreate(request, nodeId);
      return state.locks.run(volumeId, async () => {
        const existing = state.volumes.get(volumeId);
        if (existing !== undefined) {
          checkSame(existing, request);
          return { volume: volumeOf(volumeId, existing) };
        }
        const capacityBytes = await newCapacity(state.dir, request.capacityRange);
        await mkdir(state.folderOf(volumeId), { mode: 0o777, recursive: true });
        failpoint("hostpath.create.folder-made");
        const record: VolumeRecord = {
          name: request.name,
          capacityBytes: String(capacityBytes),
          parameters: request.parameters,
          state: "ready",
        };
        state.volumes.put(volumeId, record);
        failpoint("hostpath.create.recorded");
        return { volume: volumeOf(volumeId, record) };
      });
    },

    async deleteVolume({ volumeId }) {
      if (!isVolumeId(volumeId)) return {}; // none of ours, so it does not exist
      await state.locks.run(volumeId, async () => {
        const record = state.volumes.get(volumeId);
        if (record === undefined) return;
        const [used] = state.publicationsOf(volumeId).filter(([targetPath]) => isMountPoint(targetPath));
        if (used !== undefined)
          throw new TripodError(
            "failed-precondition",
            `delete volume ${volumeId}: it is published at ${used[0]}; unpublish it first`,
          );
        if (state.attachments.get(volumeId) !== undefined)
          throw new TripodError(
            "failed-precondition",
            `delete volume ${volumeId}: it is attached to ${nodeId}; detach it first`,
          );
        state.volumes.put(volumeId, { ...record, state: "deleting" });
        failpoint("hostpath.delete.marked");
        await state.remove(volumeId);
      });
      return {};
    },

    async validateVolumeCapabilities({ volumeId, volumeCapabilities, volumeContext, parameters }) {
      state.volume(volumeId);
      const message = firstUnsupported(volumeCapabilities);
      return message === undefined ? { confirmed: { volumeCapabilities, volumeContext, parameters } } : { message };
    },

    async listVolumes({ maxEntries, startingToken }) {
      if (startingToken !== "" && !isVolumeId(startingToken))
        throw new TripodError(
          "aborted",
          `list volumes: token ${JSON.stringify(startingToken)} is none of ours; start again`,
        );
      const all = state.volumes.entries().filter(([id, { state: word }]) => word === "ready" && id >= startingToken);
      const page = maxEntries === 0 ? all : all.slice(0, maxEntries);
      return {
        entries: page.map(([id, record]) => ({
          volume: volumeOf(id, record),
          status: { publishedNodeIds: publishedOn(id) },
        })),
        nextToken: all[page.length]?.[0] ?? "",
      };
    },

    async controllerGetVolume({ volumeId }) {
      return {
        volume: volumeOf(volumeId, state.volume(volumeId)),
        status: { publishedNodeIds: publishedOn(volumeId) },
      };
    },

    async getCapacity({ accessibleTopology, volumeCapabilities }) {
      const elsewhere = accessibleTopology !== undefined && accessibleTopology.segments[topologyKey] !== nodeId;
      if (elsewhere || firstUnsupported(volumeCapabilities) !== undefined) return { availableCapacity: 0n };
      return { availableCapacity: (await space(state.dir)).available };
    },

    ...(options.attach ? attachMethods(options) : {}),
  };

  function publishedOn(volumeId: string): string[] {
    const attached = state.attachments.get(volumeId) !== undefined;
    return attached || state.publicationsOf(volumeId).length > 0 ? [nodeId] : [];
  }
}

function attachMethods({
  state,
  nodeId,
}: ControllerOptions): Pick<ControllerMethods, "controllerPublishVolume" | "controllerUnpublishVolume"> {
  return {
    async controllerPublishVolume({ volumeId, nodeId: wanted, readonly, volumeCapability }) {
      state.volume(volumeId);
      if (wanted !== nodeId)
        throw new TripodError(
          "not-found",
          `attach volume ${volumeId}: there is no node ${wanted}; volumes are on ${nodeId}`,
        );
      const why = volumeCapability === undefined ? undefined : unsupported(volumeCapability);
      if (why !== undefined) throw new TripodError("invalid", `attach volume ${volumeId}: ${why}`);
      const attachment = state.attachments.get(volumeId);
      if (attachment !== undefined && attachment.readonly !== readonly)
        throw new TripodError(
          "already-exists",
          `attach volume ${volumeId}: it is attached with readonly ${attachment.readonly}; detach it first`,
        );
      state.attachments.put(volumeId, { readonly });
      return { publishContext: { [attachedKey]: nodeId } };
    },
    async controllerUnpublishVolume({ volumeId, nodeId: wanted }) {
      if (wanted === "" || wanted === nodeId) state.attachments.delete(volumeId);
      return {};
    },
  };
}

function checkCreate(request: CreateVolumeRequest, nodeId: string): void {
  const refuse = (why: string): never => {
    throw new TripodError("invalid", `create volume ${request.name}: ${why}`);
  };
  if (request.volumeContentSource !== undefined) refuse("volumes are made empty only; leave the content source out");
  const why = firstUnsupported(request.volumeCapabilities);
  if (why !== undefined) refuse(why);
  // Provisioners pass on their own parameters under this prefix.
  const unknown = Object.keys(request.parameters).filter((key) => !key.startsWith("csi.storage.k8s.io/"));
  if (unknown.length > 0) refuse(`parameters ${unknown.join(", ")} are unknown; the StorageClass needs none`);
  if (Object.keys(request.mutableParameters).length > 0) refuse("there are no mutable parameters");
  if (!allowsNode(request.accessibilityRequirements, nodeId))
    throw new TripodError(
      "exhausted",
      `create volume ${request.name}: none of the nodes that are allowed is ${nodeId}`,
    );
}

function checkSame(existing: VolumeRecord, { name, capacityRange, parameters }: CreateVolumeRequest): void {
  const size = BigInt(existing.capacityBytes);
  const { requiredBytes = 0n, limitBytes = 0n } = capacityRange ?? {};
  if (existing.state !== "ready")
    throw new TripodError("aborted", `create volume ${name}: it is being deleted; try again`);
  if (size < requiredBytes || (limitBytes !== 0n && size > limitBytes))
    throw new TripodError(
      "already-exists",
      `create volume ${name}: it exists with ${size} bytes; use another name or that size`,
    );
  // Copies, because the record's and the message's prototypes differ.
  if (!isDeepStrictEqual({ ...existing.parameters }, { ...parameters }))
    throw new TripodError("already-exists", `create volume ${name}: it exists with other parameters; use another name`);
}

function firstUnsupported(capabilities: readonly VolumeCapability[]): string | undefined {
  for (const capability of capabilities) {
    const why = unsupported(capability);
    if (why !== undefined) return why;
  }
  return undefined;
}

async function newCapacity(dir: string, range: CapacityRange | undefined): Promise<bigint> {
  const { requiredBytes = 0n, limitBytes = 0n } = range ?? {};
  let wanted = requiredBytes === 0n ? defaultCapacityBytes : requiredBytes;
  if (limitBytes !== 0n && wanted > limitBytes) wanted = limitBytes;
  const { total, available } = await space(dir);
  if (wanted > total)
    throw new TripodError("out-of-range", `create volume of ${wanted} bytes: ${dir} has ${total} in all; ask for less`);
  if (wanted > available)
    throw new TripodError(
      "exhausted",
      `create volume of ${wanted} bytes: ${dir} has ${available} left; free some or ask for less`,
    );
  return wanted;
}

async function space(dir: string): Promise<{ total: bigint; available: bigint }> {
  const { bsize, blocks, bavail } = await statfs(dir, { bigint: true });
  return { total: bsize * blocks, available: bsize * bavail };
}
