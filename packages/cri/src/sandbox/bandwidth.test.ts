import assert from "node:assert/strict";
import { test } from "node:test";
import { bandwidthOf } from "./bandwidth.ts";

test("a Pod's annotations ask for rates in bits a second, each way by itself", () => {
  assert.equal(bandwidthOf({ other: "1" }), undefined);
  assert.deepEqual(bandwidthOf({ "kubernetes.io/ingress-bandwidth": "10M" }), {
    ingressRate: 10_000_000,
    ingressBurst: 1_000_000,
  });
  assert.deepEqual(bandwidthOf({ "kubernetes.io/egress-bandwidth": "1k", "kubernetes.io/ingress-bandwidth": "1Gi" }), {
    ingressRate: 1_073_741_824,
    ingressBurst: 107_374_182,
    egressRate: 1000,
    egressBurst: 524_288,
  });
});

test("a rate that Kubernetes refuses is refused by its annotation's name", () => {
  for (const value of ["999", "2P", "-1M"])
    assert.throws(() => bandwidthOf({ "kubernetes.io/egress-bandwidth": value }), {
      code: "invalid",
      message: /kubernetes\.io\/egress-bandwidth: .* is not between 1k and 1P/,
    });
  assert.throws(() => bandwidthOf({ "kubernetes.io/egress-bandwidth": "fast" }), { code: "invalid" });
});
