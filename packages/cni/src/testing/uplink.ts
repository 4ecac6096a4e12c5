import { openRtnetlink } from "@tripod/linux";
import { FreshNetns } from "@tripod/linux/testing";

/** The gateway of the network behind the uplink. */
export const outsideAddresses = ["10.88.0.1", "fd88::1"] as const;

export interface UplinkOptions {
  /** Of the host's interface; "uplink" unless told. */
  readonly name?: string;
  /** The addresses are in that VLAN. */
  readonly vlanId?: number;
  /** Of the other end; 10.88.0.1/24 and fd88::1/64 unless told. */
  readonly addresses?: readonly string[];
}

/** An interface `uplink` of the host, and at the other end of its cable a namespace with addresses: a network to be part of. */
export class Uplink implements Disposable {
  /** The path of the namespace at the other end. */
  readonly outside: string;
  readonly #netns = new FreshNetns();
  readonly #name: string;

  constructor({ name = "uplink", vlanId, addresses }: UplinkOptions = {}) {
    this.outside = this.#netns.path;
    this.#name = name;
    using host = openRtnetlink();
    using there = openRtnetlink({ netns: this.outside });
    host.linkAdd({ kind: "veth", name, up: true, peer: { name: "cable", netns: this.outside, up: true } });
    const cable = there.linkByName("cable").index;
    if (vlanId !== undefined) there.linkAdd({ kind: "vlan", name: "tagged", parent: cable, vlanId, up: true });
    const index = vlanId === undefined ? cable : there.linkByName("tagged").index;
    for (const address of addresses ?? [`${outsideAddresses[0]}/24`, `${outsideAddresses[1]}/64`])
      there.addressAdd({ index, address, noDad: address.includes(":") });
  }

  [Symbol.dispose](): void {
    using host = openRtnetlink();
    host.linkDelete(this.#name);
    using there = openRtnetlink({ netns: this.outside });
    there.linkDelete("cable");
    this.#netns[Symbol.dispose]();
  }
}
