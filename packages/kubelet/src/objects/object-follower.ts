import type { KubernetesObject, Stored } from "@tripod/api/kubernetes";
import { Backoff, isTripodError, type Logger, messageOf, TaskOwner } from "@tripod/base";
import { abortableDelay, type ResourceClient } from "@tripod/kube";

interface Entry<T extends KubernetesObject> {
  readonly abort: AbortController;
  /** What to call when the object changes, by owner. */
  readonly owners: Map<string, () => void>;
  /** Settles when the watch's first list is here, or has failed. */
  readonly asked: PromiseWithResolvers<void>;
  /** Undefined while nothing is known; an empty box for an object that does not exist. */
  found: { readonly object: Stored<T> | undefined } | undefined;
}

/** Follows single objects by name, a watch each, for as long as somebody wants to know of them. */
export class ObjectFollower<T extends KubernetesObject> implements AsyncDisposable {
  readonly #resource: ResourceClient<T>;
  readonly #log: Logger;
  readonly #tasks: TaskOwner;
  readonly #entries = new Map<string, Entry<T>>();

  constructor(resource: ResourceClient<T>, log: Logger) {
    this.#resource = resource;
    this.#log = log;
    this.#tasks = new TaskOwner(`followers of ${resource.ref.plural}`, log);
  }

  /** Follows "namespace/name", or "name" for what has no namespace. Repeatable. */
  follow(key: string, owner: string, onChange: () => void): void {
    const known = this.#entries.get(key);
    if (known !== undefined) {
      known.owners.set(owner, onChange);
      return;
    }
    const entry: Entry<T> = {
      abort: new AbortController(),
      owners: new Map([[owner, onChange]]),
      asked: Promise.withResolvers(),
      found: undefined,
    };
    this.#entries.set(key, entry);
    this.#tasks.run(key, (stop) => this.#run(key, entry, AbortSignal.any([stop, entry.abort.signal])));
  }

  unfollow(owner: string): void {
    for (const [key, entry] of this.#entries) {
      if (!entry.owners.delete(owner) || entry.owners.size > 0) continue;
      this.#entries.delete(key);
      entry.abort.abort();
    }
  }

  /** The object as its watch has it, whose first list is waited for; asked for directly where there is no watch. */
  async get(key: string): Promise<Stored<T> | undefined> {
    const entry = this.#entries.get(key);
    await entry?.asked.promise;
    if (entry?.found !== undefined) return entry.found.object;
    const { name, where } = partsOf(key);
    return this.#resource.find(name, where);
  }

  async #run(key: string, entry: Entry<T>, signal: AbortSignal): Promise<void> {
    const backoff = new Backoff({ initialMs: 100, maxMs: 10_000 });
    const { name, where } = partsOf(key);
    const select = { ...where, fieldSelector: `metadata.name=${name}`, signal };
    const tell = (object: Stored<T> | undefined): void => {
      const before = entry.found;
      entry.found = { object };
      entry.asked.resolve();
      if (before !== undefined && before.object?.metadata.resourceVersion === object?.metadata.resourceVersion) return;
      for (const onChange of entry.owners.values()) onChange();
    };
    while (!signal.aborted) {
      try {
        const { items, resourceVersion } = await this.#resource.list(select);
        tell(items[0]);
        backoff.reset();
        for await (const { type, object } of this.#resource.watch({ ...select, resourceVersion })) {
          if (type !== "BOOKMARK") tell(type === "DELETED" ? undefined : object);
        }
      } catch (error) {
        entry.found = undefined;
        entry.asked.resolve();
        if (signal.aborted) return;
        const fields = { resource: this.#resource.ref.plural, key, error: messageOf(error) };
        if (isTripodError(error, "permission-denied")) {
          // A cluster with a node authorizer: single objects may be read, and are whenever a Pod is looked at.
          this.#log.debug(fields, "this node may not watch it");
          return;
        }
        this.#log.debug(fields, "the object is not followed, trying again");
      }
      await abortableDelay(backoff.next(), signal).catch(() => undefined);
    }
    entry.asked.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#tasks.stop();
  }
}

function partsOf(key: string): { readonly name: string; readonly where: { readonly namespace?: string } } {
  const [first = "", second] = key.split("/");
  return second === undefined ? { name: first, where: {} } : { name: second, where: { namespace: first } };
}
