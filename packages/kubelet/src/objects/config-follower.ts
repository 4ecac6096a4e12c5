import type { ConfigMap, Pod, Secret } from "@tripod/api/kubernetes";
import type { Logger } from "@tripod/base";
import { configMaps, Informer, type KubeClient, secrets } from "@tripod/kube";
import { uidOf } from "../pods/pod-facts.ts";
import { type ConfigKey, referencedConfig } from "./pod-references.ts";

type Followed = Informer<ConfigMap> | Informer<Secret>;

interface Entry {
  readonly informer: Followed;
  /** What to call when the object changes, by Pod. */
  readonly pods: Map<string, () => void>;
}

/**
 * Follows exactly those ConfigMaps and Secrets that Pods of this node refer to, a watch each: a node may read no others in a cluster that
 * restricts it, and an idle watch costs a connection and nothing else.
 */
export class ConfigFollower implements AsyncDisposable {
  readonly #client: KubeClient;
  readonly #log: Logger;
  readonly #entries = new Map<ConfigKey, Entry>();
  readonly #closing = new Set<Promise<void>>();

  constructor(client: KubeClient, log: Logger) {
    this.#client = client;
    this.#log = log;
  }

  follow(pod: Pod, onChange: () => void): void {
    for (const key of referencedConfig(pod)) {
      const entry = this.#entries.get(key) ?? this.#open(key);
      entry.pods.set(uidOf(pod), onChange);
    }
  }

  unfollow(podUid: string): void {
    for (const [key, entry] of this.#entries) {
      if (!entry.pods.delete(podUid) || entry.pods.size > 0) continue;
      this.#entries.delete(key);
      const closing = entry.informer.close();
      this.#closing.add(closing);
      void closing.finally(() => this.#closing.delete(closing));
    }
  }

  /** As the watch has it; asked for directly while there is no watch yet. */
  async configMap(namespace: string, name: string): Promise<ConfigMap | undefined> {
    const followed = this.#entries.get(`configMap/${namespace}/${name}`)?.informer;
    // The entry of this kind of key holds an informer of this kind of object.
    if (followed?.isSynced === true) return followed.get(`${namespace}/${name}`) as ConfigMap | undefined;
    return this.#client.resource(configMaps).find(name, { namespace });
  }

  /** As configMap(). */
  async secret(namespace: string, name: string): Promise<Secret | undefined> {
    const followed = this.#entries.get(`secret/${namespace}/${name}`)?.informer;
    // As above.
    if (followed?.isSynced === true) return followed.get(`${namespace}/${name}`) as Secret | undefined;
    return this.#client.resource(secrets).find(name, { namespace });
  }

  #open(key: ConfigKey): Entry {
    const [kind, namespace = "", name = ""] = key.split("/");
    const options = { log: this.#log, namespace, fieldSelector: `metadata.name=${name}` };
    const informer: Followed =
      kind === "configMap"
        ? new Informer(this.#client.resource(configMaps), options)
        : new Informer(this.#client.resource(secrets), options);
    const entry: Entry = { informer, pods: new Map() };
    const tell = (): void => {
      for (const onChange of entry.pods.values()) onChange();
    };
    informer.on({ added: tell, updated: tell, deleted: tell });
    informer.start();
    this.#entries.set(key, entry);
    return entry;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#closing, ...[...this.#entries.values()].map(({ informer }) => informer.close())]);
    this.#entries.clear();
  }
}
