/** Tells listeners of changes to single Pods. */
export class PodChanges {
  readonly #listeners = new Map<string, Set<() => void>>();

  /** Calls `listener` whenever the Pod changes, until the returned function is called. */
  on(uid: string, listener: () => void): () => void {
    const listeners = this.#listeners.get(uid) ?? new Set();
    this.#listeners.set(uid, listeners);
    listeners.add(listener);
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0 && this.#listeners.get(uid) === listeners) this.#listeners.delete(uid);
    };
  }

  tell(uid: string): void {
    for (const listener of this.#listeners.get(uid) ?? []) listener();
  }
}
