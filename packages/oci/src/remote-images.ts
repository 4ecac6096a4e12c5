import { type Copied, copyImage, type CopyOptions } from "./copy/copy-image.ts";
import { pushIndex } from "./copy/push-index.ts";
import { inspectRemote, type InspectRemoteOptions, type RemoteImage } from "./images/inspect-remote.ts";
import type { Store } from "./images/store.ts";

/** Images in registries, OCI layouts and archives, as they are there. */
export class RemoteImages {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  /** Asks a registry what a name means; no layer is fetched. */
  inspect(reference: string, options: InspectRemoteOptions = {}): Promise<RemoteImage> {
    return inspectRemote(this.#store, reference, options);
  }

  /** Copies between registries, OCI layouts ("oci:FOLDER:TAG") and their archives ("oci-archive:FILE:TAG"), byte by byte. */
  copy(from: string, to: string, options: CopyOptions = {}): Promise<Copied> {
    return copyImage(this.#store, from, to, options);
  }

  /** Pushes images of the store, each of another platform, under one name. */
  pushIndex(names: readonly string[], to: string, options: CopyOptions = {}): Promise<Copied> {
    return pushIndex(this.#store, names, to, options);
  }
}
