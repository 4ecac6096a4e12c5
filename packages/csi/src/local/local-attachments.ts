import { TripodError } from "@tripod/base";
import type { ControllerMethods } from "../driver.ts";
import type { LocalContext } from "./local-context.ts";
import { ensureStaticVolume } from "./new-volume.ts";

const attachedKey = "attached-to";

/** ControllerPublishVolume and its undoing, for a driver whose volumes are all on one node: a note that it was asked for. */
export function attachMethods(
  context: LocalContext,
): Pick<ControllerMethods, "controllerPublishVolume" | "controllerUnpublishVolume"> {
  const { records, storage, topology } = context;
  const { nodeId } = topology;
  return {
    controllerPublishVolume({ volumeId, nodeId: wanted, readonly, volumeCapability: capability, volumeContext }) {
      return records.locks.run(volumeId, async () => {
        await ensureStaticVolume(context, volumeId, { volumeContext, capability });
        records.volume(volumeId);
        if (wanted !== nodeId)
          throw new TripodError(
            "not-found",
            `attach volume ${volumeId}: there is no node ${wanted}; volumes are on ${nodeId}`,
          );
        const why = capability === undefined ? undefined : storage.unsupported(capability);
        if (why !== undefined) throw new TripodError("invalid", `attach volume ${volumeId}: ${why}`);
        const attachment = records.attachments.get(volumeId);
        if (attachment !== undefined && attachment.readonly !== readonly)
          throw new TripodError(
            "already-exists",
            `attach volume ${volumeId}: it is attached with readonly ${attachment.readonly}; detach it first`,
          );
        records.attachments.put(volumeId, { readonly });
        return { publishContext: { [attachedKey]: nodeId } };
      });
    },
    async controllerUnpublishVolume({ volumeId, nodeId: wanted }) {
      if (wanted === "" || wanted === nodeId) records.attachments.delete(volumeId);
      return {};
    },
  };
}
