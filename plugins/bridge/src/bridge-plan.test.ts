import assert from "node:assert/strict";
import { test } from "node:test";
import type { CniResult } from "@tripod/cni/sdk";
import type { Address, Link } from "@tripod/linux";
import { type BridgeConfig, parseBridgeConfig } from "./bridge-config.ts";
import { completeResult, gatewayAddresses, planBridge, planContainer, planGateway, planVeth } from "./bridge-plan.ts";

const config = (more: Record<string, string | number | boolean> = {}): BridgeConfig =>
  parseBridgeConfig({ config: { bridge: "br0", ipam: { type: "host-local" }, ...more }, args: new Map() });

const link = (more: Partial<Link> = {}): Link => ({
  index: 7,
  name: "br0",
  kind: "bridge",
  up: true,
  running: true,
  loopback: false,
  promiscuous: false,
  allMulticast: false,
  operState: "up",
  mtu: 1500,
  mac: "02:00:00:00:00:01",
  alias: undefined,
  master: undefined,
  parent: undefined,
  peerNetnsId: undefined,
  txQueueLength: 1000,
  bridge: { vlanFiltering: false, stp: false, vlanDefaultPvid: 1 },
  port: undefined,
  vxlan: undefined,
  vlanId: undefined,
  vrfTable: undefined,
  mode: undefined,
  broadcastQueueLength: undefined,
  tun: undefined,
  statistics: undefined,
  ...more,
});

const address = (text: string): Address => ({
  index: 7,
  family: text.includes(":") ? "ipv6" : "ipv4",
  address: text,
  peer: undefined,
  broadcast: undefined,
  label: undefined,
  scope: "global",
  tentative: false,
  dadFailed: false,
  permanent: true,
});

const state = (bridge: Link | undefined, addresses: readonly string[] = []) => ({
  bridge,
  gateway: bridge,
  addresses: addresses.map(address),
});
const ipam: CniResult = {
  cniVersion: "1.0.0",
  interfaces: [],
  ips: [{ address: "10.1.0.5/24" }, { address: "fd00::5/64", gateway: "fd00::9" }],
  routes: [],
  dns: {},
};
const kinds = (operations: readonly { kind: string }[]): string[] => operations.map(({ kind }) => kind);

test("a bridge that is as it should be is left alone", () => {
  assert.deepEqual(
    planBridge(config(), state(link()), () => "02:00:00:00:00:01"),
    [],
  );
  assert.deepEqual(
    planBridge(config({ promiscMode: true }), state(link({ up: false })), () => ""),
    [{ kind: "set-link", name: "br0", changes: { up: true, promiscuous: true } }],
  );
  assert.throws(() => planBridge(config(), state(link({ kind: "dummy" })), () => ""), {
    code: "failed-precondition",
    message: /br0 is a dummy, not a bridge/,
  });
});

test("a missing bridge is made with a MAC of its own", () => {
  const [first] = planBridge(config({ mtu: 1400 }), state(undefined), () => "02:00:00:00:00:01");
  assert.deepEqual(first, {
    kind: "add-link",
    link: { kind: "bridge", name: "br0", mac: "02:00:00:00:00:01", mtu: 1400, up: true, vlanFiltering: undefined },
  });
});

test("gateways and default routes are put in where they are missing", () => {
  const result = completeResult(config({ isDefaultGateway: true }), ipam);
  assert.deepEqual(result.ips, [
    { interface: 2, address: "10.1.0.5/24", gateway: "10.1.0.1" },
    { interface: 2, address: "fd00::5/64", gateway: "fd00::9" },
  ]);
  assert.deepEqual(result.routes, [
    { dst: "0.0.0.0/0", gw: "10.1.0.1" },
    { dst: "::/0", gw: "fd00::9" },
  ]);
  assert.deepEqual(gatewayAddresses(config({ isGateway: true }), result), ["10.1.0.1/24", "fd00::9/64"]);
  assert.deepEqual(completeResult(config(), { ...ipam, ips: [{ address: "10.1.0.5/24" }] }).ips, [
    { interface: 2, address: "10.1.0.5/24" },
  ]);
  const own = { ...ipam, routes: [{ dst: "0.0.0.0/0", gw: "10.1.0.254" }] };
  assert.equal(
    completeResult(config({ isDefaultGateway: true }), own).routes.filter(({ dst }) => dst === "0.0.0.0/0").length,
    1,
  );
  assert.throws(() => completeResult(config(), { ...ipam, ips: [] }), { code: "invalid" });
});

test("a bridge with another address is refused, or readdressed with forceAddress", () => {
  const wanted = ["10.1.0.1/24"];
  assert.deepEqual(planGateway(config({ isGateway: true }), state(link(), wanted), wanted), []);
  assert.throws(() => planGateway(config({ isGateway: true }), state(link(), ["10.2.0.1/24"]), wanted), {
    message: /br0 has the address 10\.2\.0\.1\/24/,
  });
  const forced = planGateway(
    config({ isGateway: true, forceAddress: true }),
    state(link(), ["10.2.0.1/24", "fe80::1/64"]),
    wanted,
  );
  assert.deepEqual(kinds(forced), ["delete-address", "add-address"]);
  // IPv6 subnets beside one another are fine.
  assert.deepEqual(kinds(planGateway(config({ isGateway: true }), state(link(), ["fd01::1/64"]), ["fd02::1/64"])), [
    "add-address",
  ]);
  assert.throws(() => planGateway(config({ isGateway: true }), state(link(), ["fd02::5/64"]), ["fd02::1/64"]), {
    code: "failed-precondition",
  });
});

test("a VLAN makes a gateway link of its own and tags the port", () => {
  const tagged = config({ vlan: 100, isGateway: true });
  assert.deepEqual(kinds(planGateway(tagged, { bridge: link(), gateway: undefined, addresses: [] }, ["10.1.0.1/24"])), [
    "add-vlan",
    "add-link",
    "add-address",
  ]);
  const veth = planVeth(tagged, { hostName: "veth1", alias: undefined, netns: "/n", ifname: "eth0" });
  assert.deepEqual(kinds(veth), ["add-link", "set-link", "clear-vlans", "add-vlan"]);
});

test("the container's interface goes up after its addresses and before its routes", () => {
  const result = completeResult(config({ isDefaultGateway: true }), ipam);
  const operations = kinds(planContainer(config(), "eth0", result));
  assert.ok(operations.lastIndexOf("add-address") < operations.indexOf("set-link"));
  assert.ok(operations.indexOf("set-link") < operations.indexOf("add-route"));
});

test("keys that contradict one another are refused", () => {
  assert.throws(() => config({ hairpinMode: true, promiscMode: true }), { message: /exclude one another/ });
  assert.throws(() => config({ disableContainerInterface: true }), { message: /remove ipam/ });
  assert.throws(() => config({ vlan: 5000 }), { message: /"vlan" is 5000/ });
  assert.throws(() => config({ bridge: "a-name-that-is-too-long" }), { code: "invalid" });
  assert.throws(() => config({ ipMasqBackend: "iptables" }), { message: /nftables alone/ });
});
