import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "@tripod/api/kubernetes";
import { pageSizeOfMedium } from "./huge-pages.ts";

const mebibytes = 1024 ** 2;
const podWith = (...names: readonly string[]): Pod => ({
  metadata: {},
  spec: {
    containers: names.map((name) => ({ name: "c", resources: { limits: { [`hugepages-${name}`]: "1Gi" } } })),
  },
});

test("the page size of a medium is what it says, or the one that the Pod asks for", () => {
  for (const [medium, pod, expected] of [
    ["", podWith("2Mi"), undefined],
    ["Memory", podWith("2Mi"), undefined],
    ["HugePages", podWith("2Mi"), 2 * mebibytes],
    ["HugePages", podWith("1Gi", "1024Mi"), 1024 * mebibytes],
    ["HugePages-2Mi", podWith("2Mi", "1Gi"), 2 * mebibytes],
    ["HugePages-2048Ki", podWith("2Mi"), 2 * mebibytes],
  ] as const)
    assert.equal(pageSizeOfMedium(medium, pod), expected, medium);
  for (const [medium, pod, why] of [
    ["HugePages", podWith(), /no container of the Pod requests such huge pages/],
    ["HugePages", podWith("2Mi", "1Gi"), /pages of several sizes/],
    ["HugePages-1Gi", podWith("2Mi"), /no container of the Pod requests such huge pages/],
    ["HugePages-many", podWith("2Mi"), /./],
  ] as const)
    assert.throws(() => pageSizeOfMedium(medium, pod), why, medium);
});
