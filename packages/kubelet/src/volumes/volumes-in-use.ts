/** Which attachable volumes the Pods of this node use: a volume in use must not be detached. */
export class VolumesInUse {
  readonly #publish: (names: readonly string[]) => Promise<void>;
  /** Pods by volume. */
  readonly #users = new Map<string, Set<string>>();

  constructor(publish: (names: readonly string[]) => Promise<void>) {
    this.#publish = publish;
  }

  /** In the form of a node's status: kubernetes.io/csi/DRIVER^HANDLE. */
  names(): string[] {
    return [...this.#users.keys()].toSorted();
  }

  /** Notes a use that is found on the disk after a restart. */
  recovered(podUid: string, driver: string, handle: string): void {
    const name = `kubernetes.io/csi/${driver}^${handle}`;
    this.#users.set(name, (this.#users.get(name) ?? new Set()).add(podUid));
  }

  /** Notes a use and tells the API server of it before it begins. */
  async add(podUid: string, driver: string, handle: string): Promise<void> {
    const before = this.#users.size;
    this.recovered(podUid, driver, handle);
    if (this.#users.size !== before) await this.#publish(this.names());
  }

  /** Ends every use by one Pod. */
  async remove(podUid: string): Promise<void> {
    const before = this.#users.size;
    for (const [name, users] of this.#users) {
      if (users.delete(podUid) && users.size === 0) this.#users.delete(name);
    }
    if (this.#users.size !== before) await this.#publish(this.names());
  }
}
