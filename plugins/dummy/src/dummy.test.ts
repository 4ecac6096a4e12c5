import assert from "node:assert/strict";
import { test } from "node:test";
import { parseResult } from "@tripod/cni";
import {
  AddressPool,
  callerOf,
  compareWithUpstream,
  exchange,
  lacksLinkKind,
  noUpstream,
  onFreshHost,
  testAttachments,
  testPluginContract,
} from "@tripod/cni/testing";
import { FreshNetns } from "@tripod/linux/testing";
import { hostLocal } from "@tripod/plugin-host-local";
import { interop } from "@tripod/testing";
import { dummy } from "./dummy.ts";

const call = callerOf({ plugin: dummy, delegates: [hostLocal], network: "still", config: {} });

const missing = lacksLinkKind("dummy");
if (missing !== false) test("dummy on the kernel", { skip: missing }, () => {});
else if (onFreshHost(import.meta.url)) {
  const pool = new AddressPool();
  test.after(() => pool[Symbol.dispose]());
  const config = { ipam: pool.ipam() };

  testPluginContract({ plugin: dummy, delegates: [hostLocal], config });
  testAttachments({ plugin: dummy, delegates: [hostLocal], config, reserved: () => pool.reserved("suite") });

  test("the container itself answers at the addresses", async () => {
    using netns = new FreshNetns();
    const { ips } = parseResult(await call("ADD", netns.path, { more: config }), "1.1.0");
    const addresses = ips.map(({ address }) => address.split("/")[0] ?? "");
    await exchange({ from: netns.path, to: netns.path, addresses });
    await call("DEL", netns.path, { more: config });
  });

  const cell = interop({ interface: "CNI", caller: "Tripod's comparison", callee: "upstream's dummy" });
  test(`${cell} | dummy: the same namespaces and result`, { skip: noUpstream("dummy") }, async () => {
    const differences = await compareWithUpstream({
      plugin: dummy,
      delegates: [hostLocal],
      config: (side) => ({ ipam: pool.ipam(side) }),
    });
    assert.deepEqual(differences, []);
  });
}

test("dummy: a configuration without ipam is refused", async () => {
  using netns = new FreshNetns();
  await assert.rejects(call("ADD", netns.path), { code: "invalid", message: /"ipam" is missing/ });
});
