import type { CSIDriver, PersistentVolume, PersistentVolumeClaim } from "@tripod/api/kubernetes";
import type { ConfigSource } from "../containers/environment.ts";
import type { TokenSource } from "./projected-payload.ts";

/** What volumes need of the API server. An object that does not exist is undefined. */
export interface VolumeObjects extends ConfigSource {
  claim(namespace: string, name: string): Promise<PersistentVolumeClaim | undefined>;
  persistentVolume(name: string): Promise<PersistentVolume | undefined>;
  csiDriver(name: string): Promise<CSIDriver | undefined>;
  /** Changes the status of the very claim by a merge patch that `change` makes of its newest state. */
  patchClaimStatus(
    claim: PersistentVolumeClaim,
    change: (now: PersistentVolumeClaim) => Readonly<Record<string, unknown>>,
  ): Promise<void>;
  readonly token: TokenSource;
  /**
   * Waits until the VolumeAttachment `name` says attached; the result is its attachment metadata. The attacher's own error, or a wait that
   * takes too long, is an error that names it; with `limited`, "exhausted" at once when the attacher says that the node takes no more.
   */
  attached(
    name: string,
    options: { readonly limited: boolean },
    signal: AbortSignal,
  ): Promise<Readonly<Record<string, string>>>;
}
