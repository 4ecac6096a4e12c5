import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Node, Pod } from "@tripod/api/kubernetes";
import { hugePagePools, mountInfo } from "@tripod/linux";
import { startTestCluster, type TestCluster, testNodeName } from "./testing/test-cluster.ts";

const pageBytes = 2 * 1024 ** 2;
const pool = `/sys/kernel/mm/hugepages/hugepages-${pageBytes / 1024}kB`;
const pagesBefore = hugePagePools().find((each) => each.pageBytes === pageBytes)?.pages;
const wanted = Math.max(pagesBefore ?? 0, 4);

/** Sets pages aside; says why it cannot. */
function reserve(): string | undefined {
  if (pagesBefore === undefined) return "this kernel has no huge pages of 2 MiB";
  try {
    writeFileSync(`${pool}/nr_hugepages`, String(wanted));
  } catch (error) {
    return `this process may not set huge pages aside: ${String(error)}`;
  }
  if (Number(readFileSync(`${pool}/nr_hugepages`, "utf8")) === wanted) return undefined;
  writeFileSync(`${pool}/nr_hugepages`, String(pagesBefore));
  return "this machine has no memory in one piece for huge pages";
}

const lacks = reserve();

describe("huge pages", { skip: lacks ?? false }, () => {
  const stack = new AsyncDisposableStack();
  let cluster: TestCluster;
  before(async () => {
    stack.defer(() => writeFileSync(`${pool}/nr_hugepages`, String(pagesBefore)));
    cluster = stack.use(await startTestCluster("tripod"));
  });
  after(() => stack.disposeAsync());

  const free = (): number => Number(readFileSync(`${pool}/free_hugepages`, "utf8"));
  const user = (medium: string, amount = "4Mi", size = "2Mi") => {
    const container = (name: string, script: string) => ({
      name,
      image: cluster.image,
      command: ["sh", "-c", script],
      resources: { limits: { memory: "64Mi", [`hugepages-${size}`]: amount } },
      volumeMounts: [{ name: "h", mountPath: "/huge" }],
    });
    return {
      initContainers: [container("takes", "fallocate -l 4194304 /huge/two")],
      containers: [container("c", "trap exit TERM; while true; do sleep 0.1; done")],
      volumes: [{ name: "h", emptyDir: { medium } }],
    };
  };
  const isReady = (pod: Pod): boolean =>
    pod.status?.conditions?.find(({ type }) => type === "Ready")?.status === "True";

  test("the node offers what is set aside", async () => {
    const node = await cluster.api.until<Node>("nodes", testNodeName, (found) => found?.status?.capacity !== undefined);
    for (const list of [node.status?.capacity, node.status?.allocatable])
      assert.equal(list?.["hugepages-2Mi"], `${wanted * 2}Mi`);
  });

  for (const medium of ["HugePages", "HugePages-2Mi"])
    test(`an emptyDir of the medium ${medium} holds pages while its Pod is there`, async () => {
      const name = medium.toLowerCase();
      const pod = cluster.createPod(name, user(medium));
      await cluster.pod(name, isReady);
      const folder = join(
        cluster.layout.kubeletDir,
        "pods",
        pod.metadata?.uid ?? "",
        "volumes/kubernetes.io~empty-dir/h",
      );
      const mounted = mountInfo().find(({ mountPoint }) => mountPoint === folder);
      assert.equal(mounted?.type, "hugetlbfs");
      assert.equal(free(), wanted - 2);
      cluster.api.delete("pods", `default/${name}`);
      await cluster.gone(name);
      assert.equal(free(), wanted);
    });

  test("a Pod that asks for pages of which there are none is told what to do", async () => {
    const without = hugePagePools().find(({ pages }) => pages === 0);
    const size = without === undefined ? "4Ki" : `${without.pageBytes / 1024}Ki`;
    cluster.createPod("none", user("HugePages", "1Gi", size));
    await cluster.told("none", without === undefined ? "no pages of that size" : "none are set aside");
    cluster.api.delete("pods", "default/none");
    await cluster.gone("none");
  });
});
