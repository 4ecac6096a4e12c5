import assert from "node:assert/strict";
import { test } from "node:test";
import { codeOf } from "@tripod/base";
import { seededRandom } from "@tripod/testing";
import { decodeDhcp, type DhcpMessage, encodeDhcp, messageTypes, options } from "./dhcp-message.ts";
import { readTerms } from "./lease-terms.ts";
import { decodeUdpFrame, encodeUdpFrame, type UdpFrame } from "./udp-frame.ts";

const mac = Buffer.from([2, 0, 0, 0, 0, 1]);
const ip = (...bytes: readonly number[]): Buffer => Buffer.from(bytes);
const text = (value: string): Buffer => Buffer.from(value);

const message = (more: readonly (readonly [number, Buffer])[] = []): DhcpMessage => ({
  op: 2,
  xid: 0xdeadbeef,
  secs: 3,
  broadcast: true,
  ciaddr: ip(0, 0, 0, 0),
  yiaddr: ip(10, 1, 0, 5),
  mac,
  options: new Map([[options.messageType, Buffer.from([messageTypes.ack])], ...more]),
});

const plain = (value: DhcpMessage): unknown => ({
  ...value,
  ciaddr: [...value.ciaddr],
  yiaddr: [...value.yiaddr],
  mac: [...value.mac],
  options: [...value.options].map(([code, bytes]) => [code, [...bytes]]),
});

const subnet = [options.subnetMask, ip(255, 255, 0, 0)] as const;
const server = [options.serverIdentifier, ip(10, 1, 0, 1)] as const;

test("a message comes back as it went out, and is as long as relays want it", () => {
  const sent = message([subnet, [options.hostName, text("web")], [options.vendorClass, text("")]]);
  const bytes = encodeDhcp(sent);
  assert.equal(bytes.length, 300);
  assert.deepEqual(plain(decodeDhcp(bytes)), plain(sent));
});

test("an option of more than 255 bytes goes in parts (RFC 3396)", () => {
  const long = Buffer.alloc(700, "x");
  const bytes = encodeDhcp(message([[options.classlessRoutes, long]]));
  assert.deepEqual(decodeDhcp(bytes).options.get(options.classlessRoutes), long);
});

test("options go on in the fields of file and server name (option 52)", () => {
  const bytes = encodeDhcp(message([[options.overload, Buffer.from([3])]]));
  bytes.set([options.subnetMask, 4, 255, 0, 0, 0, options.end], 108);
  bytes.set([options.hostName, 3, ...text("web"), options.end], 44);
  const read = decodeDhcp(bytes).options;
  assert.deepEqual([...(read.get(options.subnetMask) ?? [])], [255, 0, 0, 0]);
  assert.equal(Buffer.from(read.get(options.hostName) ?? []).toString(), "web");
});

test("what is no DHCP message is refused by reason", () => {
  const good = encodeDhcp(message());
  const changed = (at: number, value: number): Buffer => {
    const bytes = Buffer.from(good);
    bytes[at] = value;
    return bytes;
  };
  const rows: readonly (readonly [Buffer, RegExp])[] = [
    [good.subarray(0, 239), /239 bytes are too few/],
    [Buffer.alloc(5000), /5000 bytes are too many/],
    [changed(0, 3), /op 3/],
    [changed(1, 6), /no Ethernet/],
    [changed(2, 16), /no Ethernet/],
    [changed(236, 0), /BOOTP/],
    [changed(241, 255), /option 53 is cut off/],
  ];
  for (const [bytes, why] of rows) assert.throws(() => decodeDhcp(bytes), { code: "invalid", message: why });
});

test("terms: address, gateway, routes, resolver and times", () => {
  const read = readTerms(
    message([
      subnet,
      server,
      [options.routers, ip(0, 0, 0, 0, 10, 1, 0, 1)],
      [options.nameServers, ip(10, 1, 0, 2, 10, 1, 0, 3)],
      [options.domainName, text("example.org\0")],
      [options.staticRoutes, ip(192, 168, 7, 0, 10, 1, 0, 9, 0, 0, 0, 0, 10, 1, 0, 9, 172, 16, 3, 3, 10, 1, 0, 9)],
      [options.leaseTime, ip(0, 0, 14, 16)],
      [options.renewalTime, ip(0, 0, 3, 232)],
    ]),
  );
  assert.deepEqual(read, {
    address: "10.1.0.5/16",
    gateway: "10.1.0.1",
    routes: [
      { dst: "192.168.7.0/24", gw: "10.1.0.9" },
      { dst: "172.16.0.0/16", gw: "10.1.0.9" },
      { dst: "0.0.0.0/0", gw: "10.1.0.1" },
    ],
    dns: { nameservers: ["10.1.0.2", "10.1.0.3"], domain: "example.org" },
    server: "10.1.0.1",
    seconds: 3600,
    renewAfter: 1000,
    rebindAfter: 3150,
  });
});

test("terms: classless routes take the place of the others; a lease may be for ever", () => {
  const routes = ip(16, 10, 20, 10, 1, 0, 1, 0, 10, 1, 0, 1, 25, 10, 9, 9, 255, 0, 0, 0, 0);
  const more = [
    subnet,
    server,
    [options.routers, ip(10, 1, 0, 254)],
    [options.classlessRoutes, routes],
    [options.leaseTime, ip(255, 255, 255, 255)],
  ] as const;
  const { routes: read, seconds, gateway } = readTerms(message(more));
  assert.deepEqual(read, [
    { dst: "10.20.0.0/16", gw: "10.1.0.1" },
    { dst: "0.0.0.0/0", gw: "10.1.0.1" },
    { dst: "10.9.9.128/25", scope: 253 },
  ]);
  assert.deepEqual([seconds, gateway], [undefined, "10.1.0.254"]);
});

test("terms that would serve no container are refused by reason", () => {
  const rows: readonly (readonly [DhcpMessage, RegExp])[] = [
    [message([server]), /no subnet mask/],
    [message([server, [options.subnetMask, ip(255, 0, 255, 0)]]), /255\.0\.255\.0 is no subnet mask/],
    [message([subnet]), /whose it is/],
    [{ ...message([subnet, server]), yiaddr: ip(0, 0, 0, 0) }, /no address/],
    [message([subnet, server, [options.routers, ip(1, 2, 3)]]), /option 3 has 3 bytes/],
    [message([subnet, server, [options.leaseTime, ip(1)]]), /option 51 has 1 bytes/],
    [message([subnet, server, [options.classlessRoutes, ip(33, 1, 1, 1, 1, 1)]]), /option 121/],
    [message([subnet, server, [options.classlessRoutes, ip(24, 1, 1)]]), /option 121/],
  ];
  for (const [answer, why] of rows) assert.throws(() => readTerms(answer), { code: "invalid", message: why });
});

const frame = (payload: Buffer): UdpFrame => ({
  fromMac: mac,
  toMac: Buffer.alloc(6, 0xff),
  from: ip(10, 1, 0, 1),
  to: ip(255, 255, 255, 255),
  fromPort: 67,
  toPort: 68,
  payload,
});

test("frames come back as they went out; fragments, other protocols and what is cut off are none", () => {
  const bytes = encodeUdpFrame(frame(text("hello")));
  const read = decodeUdpFrame(bytes);
  assert.equal(Buffer.from(read?.payload ?? []).toString(), "hello");
  assert.deepEqual([read?.fromPort, read?.toPort], [67, 68]);
  for (const [at, value] of [
    [12, 0x86],
    [14, 0x65],
    [14, 0x44],
    [20, 0x20],
    [21, 1],
    [23, 6],
    [17, 200],
    [39, 200],
    [39, 7],
  ] as const) {
    const changed = Buffer.from(bytes);
    changed[at] = value;
    assert.equal(decodeUdpFrame(changed), undefined, `byte ${at}`);
  }
  for (let length = 0; length < bytes.length; length += 1)
    assert.equal(decodeUdpFrame(bytes.subarray(0, length)), undefined);
});

test("hostile bytes are read or refused, at once", () => {
  const random = seededRandom(20261127);
  const good = encodeDhcp(
    message([subnet, server, [options.routers, ip(10, 1, 0, 1)], [options.classlessRoutes, ip(8, 10, 1, 1, 1, 1)]]),
  );
  let read = 0;
  for (let round = 0; round < 20_000; round += 1) {
    const bytes = Buffer.from(good.subarray(0, round % 5 === 0 ? random.below(good.length) : good.length));
    for (let count = 1 + random.below(6); count > 0 && bytes.length > 0; count -= 1)
      bytes[random.below(bytes.length)] = random.below(256);
    decodeUdpFrame(bytes);
    try {
      readTerms(decodeDhcp(bytes));
      read += 1;
    } catch (error) {
      assert.equal(codeOf(error), "invalid");
    }
  }
  assert.ok(read > 0);
});
