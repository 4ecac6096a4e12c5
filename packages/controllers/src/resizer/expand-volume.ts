import { ControllerServiceCapability_RPC_Type as Rpc } from "@tripod/api/csi";
import { TripodError } from "@tripod/base";
import type { CsiPersistentVolume } from "@tripod/csi/migration";
import type { PersistentVolume } from "@tripod/api/kubernetes";
import { callOptions } from "../csi/call-options.ts";
import { capabilityOf } from "../csi/capability.ts";
import type { CsiDriver } from "../csi/csi-drivers.ts";

export interface Grown {
  readonly sizeBytes: bigint;
  /** The nodes that use the volume have something left to do. */
  readonly onNodes: boolean;
  /** There is no such volume yet: its driver makes it at its first use, as large as the PersistentVolume then says. */
  readonly isUnmade?: boolean;
}

/** Has a driver make a volume at least so large; one that has no part in it leaves all of it to the nodes. */
export async function expandVolume(
  driver: CsiDriver,
  volume: CsiPersistentVolume<PersistentVolume>,
  call: { readonly sizeBytes: bigint; readonly secrets: Record<string, string>; readonly signal: AbortSignal },
): Promise<Grown> {
  const { sizeBytes, secrets, signal } = call;
  if (!driver.rpcs.has(Rpc.EXPAND_VOLUME)) {
    if (driver.growsOnNodes) return { sizeBytes, onNodes: true };
    throw new TripodError("unimplemented", `driver ${driver.name} cannot make volumes grow`);
  }
  const { capacityBytes, nodeExpansionRequired } = await driver.controller.controllerExpandVolume(
    {
      volumeId: volume.spec.csi.volumeHandle,
      capacityRange: { requiredBytes: sizeBytes },
      volumeCapability: capabilityOf(volume, driver.rpcs),
      secrets,
    },
    callOptions(signal),
  );
  return { sizeBytes: capacityBytes > 0n ? capacityBytes : sizeBytes, onNodes: nodeExpansionRequired };
}
