import type { PersistentVolume } from "@tripod/api/kubernetes";
import { codeOf } from "@tripod/base";
import { asCsiVolume, type CsiPersistentVolume, inlineCloudVolume } from "@tripod/csi/migration";

/**
 * As asCsiVolume(), for whoever looks at many volumes, of which one that cannot be translated must not hide the others: undefined for that,
 * too. Its Pod is told by the kubelet.
 */
export const knownCsiVolume = <T extends PersistentVolume>(volume: T): CsiPersistentVolume<T> | undefined =>
  ifTranslatable(() => asCsiVolume(volume));

/** As inlineCloudVolume(), and undefined for what cannot be translated, too. */
export const knownCloudVolume = (
  ...args: Parameters<typeof inlineCloudVolume>
): CsiPersistentVolume<PersistentVolume> | undefined => ifTranslatable(() => inlineCloudVolume(...args));

/** What `translate` returns; undefined for what it finds "invalid". */
export function ifTranslatable<T>(translate: () => T): T | undefined {
  try {
    return translate();
  } catch (error) {
    if (codeOf(error) === "invalid") return undefined;
    throw error;
  }
}
