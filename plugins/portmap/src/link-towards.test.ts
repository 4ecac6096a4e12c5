import assert from "node:assert/strict";
import { test } from "node:test";
import { parseIp } from "@tripod/cni/sdk";
import type { Route } from "@tripod/linux";
import { linkTowards } from "./link-towards.ts";

const route = (dst: string, index: number, metric = 0): Route => ({
  family: "ipv4",
  dst,
  gateway: undefined,
  index,
  src: undefined,
  scope: "link",
  type: "unicast",
  table: 254,
  metric,
  protocol: 2,
  onlink: false,
  mtu: undefined,
  advertisedMss: undefined,
  nextHops: [],
});

test("the most specific route leads to the link, among equals that of the least metric", () => {
  const routes = [
    route("default", 1),
    route("10.0.0.0/8", 2),
    route("10.1.0.0/16", 3, 100),
    route("10.1.0.0/16", 4, 50),
    route("10.1.0.9/32", 5),
  ];
  assert.equal(linkTowards(routes, parseIp("10.1.0.9")), 5);
  assert.equal(linkTowards(routes, parseIp("10.1.0.8")), 4);
  assert.equal(linkTowards(routes, parseIp("10.2.0.8")), 2);
  assert.equal(linkTowards(routes, parseIp("8.8.8.8")), 1);
  assert.equal(linkTowards([], parseIp("8.8.8.8")), undefined);
});
