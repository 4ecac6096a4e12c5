import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, linkSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { callerOf, onFreshHost } from "@tripod/cni/testing";
import { openRtnetlink } from "@tripod/linux";
import { FreshNetns } from "@tripod/linux/testing";
import { dhcp } from "./dhcp.ts";
import { DaemonProcess } from "./testing/daemon-process.ts";
import { DhcpLan, Dnsmasq, Udhcpd } from "./testing/dhcp-lan.ts";
import { addressIn, DaemonPlace } from "./testing/own-daemon.ts";

const main = join(import.meta.dirname, "testing/daemon-main.ts");

test("dhcp daemon: --help tells the flags; a wrong one is one line and exit code 1", () => {
  const run = (...words: string[]) => spawnSync(process.execPath, [main, ...words], { encoding: "utf8" });
  const help = run("--help");
  assert.equal(help.status, 0);
  assert.match(help.stdout, /--resendtimeout DURATION/);
  const wrong = run("--timeout", "soon");
  assert.equal(wrong.status, 1);
  assert.match(wrong.stderr, /^dhcp daemon: --timeout "soon": no duration such as 10s or 1m30s\n$/);
});

if (onFreshHost(import.meta.url)) {
  const lan = new DhcpLan();
  test.after(() => lan[Symbol.dispose]());
  const flags = ({ socketPath }: DaemonPlace): readonly string[] => ["-socketpath", socketPath, "-resendtimeout", "5s"];

  test("a daemon that is killed: the next one goes on renewing, and gives back", async () => {
    using place = new DaemonPlace();
    using netns = new FreshNetns();
    await using server = await Udhcpd.start(lan, { leaseSeconds: 6 });
    lan.plug(netns.path);
    let prevResult;
    {
      await using _first = await DaemonProcess.start(flags(place));
      prevResult = await place.call("ADD", netns.path);
    }
    await using _second = await DaemonProcess.start(flags(place));
    const acknowledged = new RegExp(`sending ACK to ${addressIn(prevResult)}`);
    for (let time = 0; time < 2; time += 1) await server.says(acknowledged);
    await place.call("CHECK", netns.path, { more: { prevResult } });
    await place.call("DEL", netns.path);
    assert.equal(place.recorded(), 0);
  });

  test("DEL without a daemon does its work: the address is given back", async () => {
    using place = new DaemonPlace();
    using netns = new FreshNetns();
    await using server = await Dnsmasq.start(lan);
    lan.plug(netns.path);
    {
      await using _daemon = await DaemonProcess.start(flags(place));
      await place.call("ADD", netns.path);
    }
    await place.call("DEL", netns.path);
    await server.says(/DHCPRELEASE/);
    assert.equal(place.recorded(), 0);
  });

  for (const point of ["chosen", "acknowledged", "recorded", "released"]) {
    test(`a daemon killed at dhcp.lease.${point}: DEL gives back, and ADD works again`, async () => {
      using place = new DaemonPlace();
      using netns = new FreshNetns();
      await using server = await Dnsmasq.start(lan);
      lan.plug(netns.path);
      {
        await using daemon = await DaemonProcess.start(flags(place), { TRIPOD_FAILPOINT: `dhcp.lease.${point}` });
        if (point === "released") await place.call("ADD", netns.path);
        const command = point === "released" ? "DEL" : "ADD";
        await assert.rejects(place.call(command, netns.path), { cniCode: 11, message: /ended before it answered/ });
        assert.deepEqual(await daemon.ended(), [null, "SIGKILL"]);
      }
      await using _next = await DaemonProcess.start(flags(place));
      await place.call("DEL", netns.path);
      await server.says(/DHCPRELEASE/);
      assert.equal(place.recorded(), 0);
      await place.call("ADD", netns.path);
      await place.call("DEL", netns.path);
    });
  }

  for (const point of ["extended", "lost"]) {
    test(`a daemon killed at dhcp.lease.${point}: the next one knows`, async () => {
      using place = new DaemonPlace();
      using netns = new FreshNetns();
      let server: Udhcpd | undefined = await Udhcpd.start(lan, { leaseSeconds: 4 });
      try {
        lan.plug(netns.path);
        await using daemon = await DaemonProcess.start(flags(place), { TRIPOD_FAILPOINT: `dhcp.lease.${point}` });
        const prevResult = await place.call("ADD", netns.path);
        if (point === "lost") {
          await server[Symbol.asyncDispose]();
          server = undefined;
        }
        assert.deepEqual(await daemon.ended(), [null, "SIGKILL"]);
        await using _next = await DaemonProcess.start(flags(place));
        const checked = place.call("CHECK", netns.path, { more: { prevResult } });
        if (point === "extended") await checked;
        else await assert.rejects(checked, { cniCode: 3, message: /no server extended it/ });
        using there = openRtnetlink({ netns: netns.path });
        assert.equal(there.linkByName("eth0").up, point === "extended");
        await place.call("DEL", netns.path);
        assert.equal(place.recorded(), 0);
      } finally {
        await server?.[Symbol.asyncDispose]();
      }
    });
  }

  test("a record that cannot be read is told of and left alone; what a crash left half written goes", async () => {
    using place = new DaemonPlace();
    const dir = `${place.socketPath}.leases`;
    {
      await using _daemon = await place.serve();
    }
    writeFileSync(join(dir, "torn"), "{");
    writeFileSync(join(dir, "half.tmp"), "{");
    const told = place.log.says("a lease's record cannot be read; it is left alone");
    await using _daemon = await place.serve();
    await told;
    assert.deepEqual(readdirSync(dir), ["torn"]);
  });

  test("SIGTERM ends it with code 0, its pid file gone, and its leases kept", async () => {
    using place = new DaemonPlace();
    using netns = new FreshNetns();
    await using _server = await Dnsmasq.start(lan);
    lan.plug(netns.path);
    const pidFile = place.folder.join("pid");
    await using daemon = await DaemonProcess.start([...flags(place), "-pidfile", pidFile]);
    await place.call("ADD", netns.path);
    assert.equal(readFileSync(pidFile, "utf8"), String(daemon.child.pid));
    daemon.child.kill("SIGTERM");
    assert.deepEqual(await daemon.ended(), [0, null]);
    assert.ok(!existsSync(pidFile));
    assert.equal(place.recorded(), 1);
    await place.call("DEL", netns.path);
  });

  test("a host's root elsewhere (-hostprefix), and a socket from a service manager", async () => {
    using place = new DaemonPlace();
    using netns = new FreshNetns();
    await using _server = await Dnsmasq.start(lan);
    lan.plug(netns.path);
    // The namespace's path as the runtime knows it is one below the prefix.
    const prefix = netns.path.slice(0, netns.path.lastIndexOf("/"));
    const socketPath = `${prefix}/run/dhcp.sock`;
    const call = callerOf({
      plugin: dhcp,
      network: "lan",
      config: { ipam: { type: "dhcp", daemonSocketPath: socketPath } },
    });
    {
      await using _daemon = await DaemonProcess.start(["-hostprefix", prefix, "-socketpath", "/run/dhcp.sock"]);
      await call("STATUS", "");
    }
    // Node takes away the path of a socket that it closes, and accepts from one that it does not: so it closes, and another path stays.
    const made = `${place.socketPath}.made`;
    const handed = createServer().listen(made);
    await once(handed, "listening");
    linkSync(made, place.socketPath);
    const fd = Reflect.get(handed, "_handle").fd as number; // Node has no other way to hand a listening socket on
    const command = 'LISTEN_PID=$$ exec "$@"';
    const words = ["-c", command, "sh", process.execPath, main, ...flags(place)];
    const child = spawn("sh", words, {
      stdio: ["ignore", "ignore", "ignore", fd],
      env: { ...process.env, LISTEN_FDS: "1", NODE_TEST_CONTEXT: undefined },
    });
    handed.close();
    const exit = once(child, "exit");
    try {
      const prevResult = await place.call("ADD", netns.path);
      await place.call("CHECK", netns.path, { more: { prevResult } });
      await place.call("DEL", netns.path);
    } finally {
      child.kill("SIGKILL");
      await exit;
    }
  });
}
