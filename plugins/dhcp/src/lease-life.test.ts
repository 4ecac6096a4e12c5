import assert from "node:assert/strict";
import { test } from "node:test";
import type { JsonObject } from "@tripod/cni";
import { onFreshHost } from "@tripod/cni/testing";
import { openRtnetlink } from "@tripod/linux";
import { FreshNetns } from "@tripod/linux/testing";
import { DhcpLan, Dnsmasq, Udhcpd } from "./testing/dhcp-lan.ts";
import { addressIn, DaemonPlace } from "./testing/own-daemon.ts";

/** Whether a container's interface is up. */
function isUp(netns: string): boolean {
  using there = openRtnetlink({ netns });
  return there.linkByName("eth0").up;
}

/** ADD, with what a main plugin does then. */
async function add({ call }: DaemonPlace, netns: string): Promise<JsonObject> {
  const result = await call("ADD", netns);
  using there = openRtnetlink({ netns });
  there.addressAdd({ index: there.linkByName("eth0").index, address: `${addressIn(result)}/24` });
  return result;
}

if (onFreshHost(import.meta.url)) {
  const lan = new DhcpLan();
  test.after(() => lan[Symbol.dispose]());

  test("a lease is renewed at half its time, at the server that gave it, and goes on", async () => {
    using place = new DaemonPlace();
    using netns = new FreshNetns();
    await using server = await Udhcpd.start(lan, { leaseSeconds: 4 });
    await using _daemon = await place.serve();
    lan.plug(netns.path);
    const prevResult = await add(place, netns.path);
    const acknowledged = new RegExp(`sending ACK to ${addressIn(prevResult)}`);
    const begun = performance.now();
    for (let time = 0; time < 3; time += 1) await server.says(acknowledged);
    const passed = performance.now() - begun;
    assert.ok(passed > 3500 && passed < 8000, `two renewals took ${passed} ms`);
    await place.call("CHECK", netns.path, { more: { prevResult } });
    assert.ok(isUp(netns.path));
    await place.call("DEL", netns.path);
  });

  test("a server that has gone: at 7/8 of the time any other may extend the lease, and has it from then on", async () => {
    using place = new DaemonPlace();
    using netns = new FreshNetns();
    await using _daemon = await place.serve();
    let prevResult;
    {
      await using _first = await Udhcpd.start(lan, { leaseSeconds: 8 });
      lan.plug(netns.path);
      prevResult = await add(place, netns.path);
    }
    lan.serveFrom("10.99.0.2");
    try {
      await using second = await Dnsmasq.start(lan);
      const extended = place.log.says("lease extended");
      await second.says(new RegExp(`DHCPACK\\(lan\\) ${addressIn(prevResult)}`));
      await extended;
      await place.call("CHECK", netns.path, { more: { prevResult } });
      await place.call("DEL", netns.path);
      await second.says(/DHCPRELEASE/);
    } finally {
      lan.serveFrom("10.99.0.1");
    }
  });

  test("a lease that nobody extends ends with the interface down, and CHECK says why", async () => {
    using place = new DaemonPlace();
    using netns = new FreshNetns();
    await using _daemon = await place.serve();
    const lost = place.log.says("lease lost; the interface is set down");
    let prevResult;
    {
      await using _server = await Udhcpd.start(lan, { leaseSeconds: 3 });
      lan.plug(netns.path);
      prevResult = await add(place, netns.path);
    }
    await lost;
    assert.ok(!isUp(netns.path));
    const more = { more: { prevResult } };
    await assert.rejects(place.call("CHECK", netns.path, more), {
      cniCode: 3,
      message: /no server extended it in time/,
    });
    await assert.rejects(place.call("ADD", netns.path), { message: /DEL it first/ });
    await place.call("DEL", netns.path);
    assert.equal(place.recorded(), 0);
  });

  test("a refusal (NAK) ends the lease at once", async () => {
    using place = new DaemonPlace();
    using netns = new FreshNetns();
    await using _daemon = await place.serve();
    const lost = place.log.says("lease lost; the interface is set down");
    let prevResult;
    {
      await using _server = await Udhcpd.start(lan, { leaseSeconds: 6 });
      lan.plug(netns.path);
      prevResult = await add(place, netns.path);
    }
    // It knows nothing of the lease, and gives no such address.
    await using second = await Dnsmasq.start(lan, { range: "10.99.0.251,10.99.0.252" });
    await second.says(/DHCPNAK/);
    await lost;
    const more = { more: { prevResult } };
    await assert.rejects(place.call("CHECK", netns.path, more), { cniCode: 3, message: /refused the address/ });
    await place.call("DEL", netns.path);
  });

  test("an interface that goes takes its lease with it", async () => {
    using place = new DaemonPlace();
    await using _server = await Udhcpd.start(lan, { leaseSeconds: 2 });
    await using _daemon = await place.serve();
    const gone = place.log.says("the interface is gone; its lease is left to end");
    {
      using netns = new FreshNetns();
      lan.plug(netns.path);
      await add(place, netns.path);
    }
    await gone;
    assert.equal(place.recorded(), 0);
  });

  test("a lease may be for ever", async () => {
    using place = new DaemonPlace();
    using netns = new FreshNetns();
    await using _server = await Dnsmasq.start(lan, { leaseSeconds: "infinite" });
    await using _daemon = await place.serve();
    lan.plug(netns.path);
    const prevResult = await add(place, netns.path);
    await place.call("CHECK", netns.path, { more: { prevResult } });
    await place.call("DEL", netns.path);
  });
}
