import type { PersistentVolume } from "@tripod/api/kubernetes";
import { asCsiVolume, type CsiPersistentVolume, inlineCloudVolume } from "@tripod/csi/migration";
import { unlessInvalid } from "../unless-invalid.ts";

/**
 * As asCsiVolume(), for whoever looks at many volumes, of which one that cannot be translated must not hide the others: undefined for that,
 * too. Its Pod is told by the kubelet.
 */
export const knownCsiVolume = <T extends PersistentVolume>(volume: T): CsiPersistentVolume<T> | undefined =>
  unlessInvalid(() => asCsiVolume(volume));

/** As inlineCloudVolume(), and undefined for what cannot be translated, too. */
export const knownCloudVolume = (
  ...args: Parameters<typeof inlineCloudVolume>
): CsiPersistentVolume<PersistentVolume> | undefined => unlessInvalid(() => inlineCloudVolume(...args));
