import type { CSIDriver } from "@tripod/api/kubernetes";
import type { Logger } from "@tripod/base";
import { csiDrivers, Informer, type KubeClient, type ResourceClient } from "@tripod/kube";

/** Follows the cluster's CSIDriver objects from the first that is asked for: they are few, and every mount of a CSI volume needs one. */
export class DriverFollower implements AsyncDisposable {
  readonly #resource: ResourceClient<CSIDriver>;
  readonly #informer: Informer<CSIDriver>;
  #started = false;

  constructor(client: KubeClient, log: Logger) {
    this.#resource = client.resource(csiDrivers);
    this.#informer = new Informer(this.#resource, { log });
  }

  /** As the watch has it; what the watch does not know (yet, or for want of the right to watch) is asked for. */
  async driver(name: string): Promise<CSIDriver | undefined> {
    if (!this.#started) this.#informer.start();
    this.#started = true;
    return this.#informer.get(name) ?? (await this.#resource.find(name));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#informer.close();
  }
}
