import type { Volume } from "@tripod/api/csi";
import type { PersistentVolume } from "@tripod/api/kubernetes";
import type { ProvisionPlan } from "./plan-provision.ts";

/** What a PersistentVolume may take of a driver's answer, in bytes. Drivers' own ids go beyond the 128 bytes of the specification. */
const maxIdBytes = 1024;
const maxContextBytes = 64 * 1024;
const maxTopologyBytes = 64 * 1024;

/** What is wrong with a volume that a driver says it has made. */
export type WrongVolume =
  /** It is of no use and may be deleted. */
  | { readonly kind: "useless"; readonly why: string }
  /** It may be somebody's: hands off. */
  | { readonly kind: "foreign"; readonly why: string };

/** Pure: what of a driver's answer cannot be, given what was asked and the volumes that there are; undefined when all is well. */
export function wrongVolume(
  made: Volume | undefined,
  asked: { readonly plan: ProvisionPlan; readonly driver: string; readonly hasSource: boolean },
  volumes: readonly PersistentVolume[],
): WrongVolume | undefined {
  const { plan, driver, hasSource } = asked;
  if (made === undefined) return { kind: "foreign", why: "it is not there" };
  if (made.volumeId === "" || Buffer.byteLength(made.volumeId) > maxIdBytes)
    return { kind: "foreign", why: `its id has ${Buffer.byteLength(made.volumeId)} bytes` };
  const owner = volumes.find(
    ({ metadata, spec }) =>
      spec.csi?.driver === driver && spec.csi.volumeHandle === made.volumeId && metadata.name !== plan.name,
  );
  if (owner !== undefined)
    return { kind: "foreign", why: `its id ${made.volumeId} is that of PersistentVolume ${owner.metadata.name}` };
  const useless = (why: string): WrongVolume => ({ kind: "useless", why });
  if (hasSource && made.contentSource === undefined) return useless("it is without its data source");
  const { requiredBytes = 0n, limitBytes = 0n } = plan.request.capacityRange ?? {};
  const size = made.capacityBytes;
  if (size < 0n || (size !== 0n && size < requiredBytes))
    return useless(`it has ${size} bytes where ${requiredBytes} were asked for`);
  if (limitBytes !== 0n && size > limitBytes) return useless(`it has ${size} bytes, above the limit of ${limitBytes}`);
  if (JSON.stringify(made.volumeContext).length > maxContextBytes)
    return useless(`its context is larger than ${maxContextBytes} bytes`);
  if (
    made.accessibleTopology.reduce((sum, { segments }) => sum + JSON.stringify(segments).length, 0) > maxTopologyBytes
  )
    return useless(`its topology is larger than ${maxTopologyBytes} bytes`);
  return undefined;
}
