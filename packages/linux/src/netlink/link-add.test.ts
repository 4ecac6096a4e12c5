import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeLink } from "./link.ts";
import { encodeLinkAdd, type LinkSpec } from "./link-add.ts";

test("what the kernel is asked to make reads back as it was said, also of kinds that this kernel does not make", () => {
  const rows: readonly [LinkSpec, Partial<ReturnType<typeof decodeLink>>][] = [
    [
      { kind: "vlan", name: "eth0", parent: 7, vlanId: 4094, mtu: 1400, up: true },
      { kind: "vlan", parent: 7, vlanId: 4094, mtu: 1400, up: true },
    ],
    [
      { kind: "ipvlan", name: "eth0", parent: 7, mode: "l3s" },
      { kind: "ipvlan", parent: 7, mode: 2, up: false },
    ],
    [
      { kind: "macvlan", name: "eth0", parent: 7, mode: "vepa", mac: "02:00:00:00:00:01", broadcastQueueLength: 2000 },
      { kind: "macvlan", mode: 2, mac: "02:00:00:00:00:01", broadcastQueueLength: 2000 },
    ],
    [
      { kind: "vrf", name: "eth0", table: 1000, up: true },
      { kind: "vrf", vrfTable: 1000, up: true },
    ],
    [
      { kind: "dummy", name: "eth0", mtu: 9000 },
      { kind: "dummy", mtu: 9000 },
    ],
    [
      { kind: "vxlan", name: "eth0", id: 1, port: 8472, local: "10.0.0.1", learning: false },
      {
        vxlan: { id: 1, port: 8472, local: "10.0.0.1", learning: false },
      },
    ],
  ];
  for (const [spec, wanted] of rows) {
    const link = decodeLink(encodeLinkAdd(spec, { open: () => assert.fail("no namespace is named") }));
    assert.deepEqual({ ...link, ...wanted }, link);
    assert.equal(link.name, "eth0");
  }
});
