import type { Pod, Service } from "@tripod/api/kubernetes";
import { isTripodError, type Logger } from "@tripod/base";
import { Informer, type KubeClient } from "@tripod/kube";
import { namespaceOf } from "../pods/pod-facts.ts";
import { serviceVariables } from "./service-variables.ts";

/** A Pod does not wait longer than this for the first list of services. */
const firstListMs = 10_000;

/** Follows the cluster's services for Pods' environments. An API server without services has none to tell of. */
export class ServiceFollower implements AsyncDisposable {
  readonly #client: KubeClient;
  readonly #log: Logger;
  #informer: Promise<Informer<Service> | undefined> | undefined;

  constructor(client: KubeClient, log: Logger) {
    this.#client = client;
    this.#log = log;
  }

  async variables(pod: Pod): Promise<ReadonlyMap<string, string>> {
    this.#informer ??= this.#open();
    let informer: Informer<Service> | undefined;
    try {
      informer = await this.#informer;
    } catch (error) {
      this.#informer = undefined; // the API server was away: the next Pod asks again
      throw error;
    }
    if (informer === undefined) return new Map();
    const timeout = Promise.withResolvers<void>();
    const timer = setTimeout(timeout.resolve, firstListMs);
    await Promise.race([informer.synced, timeout.promise]);
    clearTimeout(timer);
    const links = pod.spec?.enableServiceLinks ?? true;
    return serviceVariables(informer.list(), { namespace: namespaceOf(pod), links });
  }

  async #open(): Promise<Informer<Service> | undefined> {
    try {
      const { group, version, plural } = await this.#client.resourceOf({ apiVersion: "v1", kind: "Service" });
      return new Informer(this.#client.resource<Service>({ group, version, plural }), { log: this.#log }).start();
    } catch (error) {
      if (isTripodError(error, "not-found")) return undefined;
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await (await this.#informer?.catch(() => undefined))?.close();
  }
}
