import type { Pod, Service } from "@tripod/api/kubernetes";
import type { Logger } from "@tripod/base";
import { Informer, type KubeClient, services } from "@tripod/kube";
import { namespaceOf } from "../pods/pod-facts.ts";
import { serviceVariables } from "./service-variables.ts";

/** A Pod does not wait longer than this for the first list of services. */
const firstListMs = 10_000;

/** Follows the cluster's services for Pods' environments, from the first Pod on. */
export class ServiceFollower implements AsyncDisposable {
  readonly #client: KubeClient;
  readonly #log: Logger;
  #informer: Informer<Service> | undefined;

  constructor(client: KubeClient, log: Logger) {
    this.#client = client;
    this.#log = log;
  }

  async variables(pod: Pod): Promise<ReadonlyMap<string, string>> {
    this.#informer ??= new Informer(this.#client.resource(services), { log: this.#log }).start();
    const timeout = Promise.withResolvers<void>();
    const timer = setTimeout(timeout.resolve, firstListMs);
    await Promise.race([this.#informer.synced, timeout.promise]);
    clearTimeout(timer);
    const links = pod.spec?.enableServiceLinks ?? true;
    return serviceVariables(this.#informer.list(), { namespace: namespaceOf(pod), links });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#informer?.close();
  }
}
