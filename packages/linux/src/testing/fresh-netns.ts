import { createNamespaces } from "../namespaces/create-namespaces.ts";
import { removeNamespace } from "../namespaces/remove-namespace.ts";
import { bringUpLoopback } from "../netlink/rtnetlink.ts";
import { TemporaryFolder } from "./temporary-folder.ts";

/** A network namespace for one test, with `lo` up: its own "host", or a Pod's. Gone, with all that is in it, when disposed of. */
export class FreshNetns implements Disposable {
  readonly path: string;
  readonly #folder = new TemporaryFolder("netns");

  constructor() {
    this.path = this.#folder.join("net");
    try {
      createNamespaces({ net: this.path });
      bringUpLoopback(this.path);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    removeNamespace(this.path);
    this.#folder[Symbol.dispose]();
  }
}
