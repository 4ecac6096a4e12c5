import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { PersistentVolumeClaim, Pod, Stored } from "@tripod/api/kubernetes";
import { codeOf, isTripodError } from "@tripod/base";
import {
  configMaps,
  KubeClient,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  readKubeconfig,
  storageClasses,
} from "@tripod/kube";
import { until } from "@tripod/testing";
import { leakSnapshot } from "../../tools/leaks.ts";
import { image, TestNode } from "../e2e/node.ts";
import { type Relay, startRelay } from "./relay.ts";

// TRIPOD_CHAOS_SEED=N repeats a run's choices; TRIPOD_CHAOS_FAILPOINTS=a,b takes these failpoints instead of chosen ones.
const seed = Number(process.env.TRIPOD_CHAOS_SEED ?? randomInt(1, 2 ** 31));
const budgetMs = Number(process.env.TRIPOD_CHAOS_SECONDS ?? 60) * 1000;

/** Numbers in [0, 1) that follow from the seed: a 32-bit xorshift. */
let state = seed;
function random(): number {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) / 2 ** 32;
}
const below = (end: number): number => Math.floor(random() * end);

/** The places at which a running node may be killed, out of the sources. */
function failpoints(): string[] {
  const root = join(import.meta.dirname, "../..");
  const roots = ["packages", "drivers"].flatMap((folder) =>
    readdirSync(join(root, folder)).map((name) => join(root, folder, name, "src")),
  );
  const names = roots.filter(existsSync).flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith(".ts") && !file.endsWith(".test.ts"))
      .flatMap((file) =>
        [...readFileSync(join(folder, file), "utf8").matchAll(/\bfailpoint\("([^"]+)"\)/g)].map(
          ([, name = ""]) => name,
        ),
      ),
  );
  const chosen = process.env.TRIPOD_CHAOS_FAILPOINTS?.split(",");
  return chosen ?? [...new Set(names)].toSorted();
}

const namespace = "default";
let node: TestNode;
let relay: Relay;
let client: KubeClient;
/** What the API server has acknowledged, and so may never forget. */
const wanted = new Map<string, { readonly uid: string; readonly runs: boolean; readonly claim?: string }>();
const deleted = new Map<string, string>();
const claims = new Map<string, string>();
/** Containers that ran before the last kill, by Pod: "container id, address". */
const ran = new Map<string, string>();
let serial = 0;

before(async () => {
  node = await TestNode.start();
  relay = await startRelay(node.network, Number(readFileSync(join(node.layout.libDir, "apiserver-port"), "utf8")));
  client = new KubeClient({ ...readKubeconfig(node.layout.kubeconfig), server: `https://127.0.0.1:${relay.port}` });
  await client.resource(storageClasses).create({
    metadata: { name: "chaos" },
    provisioner: "hostpath.csi.tripod.dev",
    volumeBindingMode: "WaitForFirstConsumer",
  });
});
after(async () => {
  client?.[Symbol.dispose]();
  await relay?.[Symbol.asyncDispose]();
  await node?.[Symbol.asyncDispose]();
});

/** Undefined when the node went away before it answered: what was asked may or may not have been done. */
async function ask<T>(request: () => Promise<T>): Promise<T | undefined> {
  try {
    return await request();
  } catch (error) {
    if (isTripodError(error, "unavailable", "timeout", "cancelled")) return undefined;
    throw error;
  }
}

async function createPod(): Promise<void> {
  serial += 1;
  const name = `p${serial}`;
  const runs = random() < 0.8;
  const claim = random() < 0.4 ? `c${serial}` : undefined;
  const config = random() < 0.4 ? `m${serial}` : undefined;
  if (claim !== undefined) {
    const made = await ask(
      () =>
        client.resource(persistentVolumeClaims).create({
          metadata: { name: claim, namespace },
          spec: {
            storageClassName: "chaos",
            accessModes: ["ReadWriteOnce"],
            resources: { requests: { storage: "1Mi" } },
          },
        } as PersistentVolumeClaim), // apiVersion and kind are the client's to add
    );
    if (made === undefined) return;
    claims.set(claim, made.metadata.uid);
  }
  if (config !== undefined) {
    const made = await ask(() =>
      client.resource(configMaps).create({ metadata: { name: config, namespace }, data: { key: name } }),
    );
    if (made === undefined) return;
  }
  const volumes = [
    ...(claim === undefined ? [] : [{ name: "data", persistentVolumeClaim: { claimName: claim } }]),
    ...(config === undefined ? [] : [{ name: "config", configMap: { name: config } }]),
  ];
  const hostPort = random() < 0.3 ? [{ containerPort: 80, hostPort: 20_000 + serial }] : [];
  const pod = {
    metadata: { name, namespace },
    spec: {
      terminationGracePeriodSeconds: 0,
      containers: [
        {
          name: "main",
          image,
          command: runs ? ["sleep", "1000"] : ["sh", "-c", "exit 1"],
          ports: hostPort,
          volumeMounts: volumes.map((volume) => ({ name: volume.name, mountPath: `/${volume.name}` })),
        },
      ],
      volumes,
    },
  } as Pod; // apiVersion and kind are the client's to add
  const made = await ask(() => client.resource(pods).create(pod));
  const uid = made?.metadata.uid;
  if (uid !== undefined) wanted.set(name, { uid, runs, ...(claim === undefined ? {} : { claim }) });
}

async function deletePod(name: string): Promise<void> {
  const pod = wanted.get(name);
  if (pod === undefined) return;
  wanted.delete(name);
  ran.delete(name);
  const gone = await ask(() => client.resource(pods).delete(name, { namespace }));
  if (gone !== undefined) deleted.set(name, pod.uid);
  const { claim } = pod;
  if (claim === undefined) return;
  claims.delete(claim);
  await ask(() => client.resource(persistentVolumeClaims).delete(claim, { namespace }));
}

/** Creates and deletes until the node is gone. */
async function load(signal: AbortSignal): Promise<void> {
  while (!signal.aborted && node.isUp) {
    const names = [...wanted.keys()];
    if (names.length > 5 || (names.length > 1 && random() < 0.4)) await deletePod(names[below(names.length)] ?? "");
    else await createPod();
    await delay(below(150));
  }
}

const container = (pod: Stored<Pod>): string =>
  `${pod.status?.containerStatuses?.[0]?.containerID ?? ""} ${pod.status?.podIP ?? ""}`;

/** What is not yet as acknowledged, a line each. */
async function amiss(): Promise<string[]> {
  const { items } = await client.resource(pods).list({ namespace });
  const there = new Map(items.map((pod) => [pod.metadata.name, pod]));
  const { items: claimsThere } = await client.resource(persistentVolumeClaims).list({ namespace });
  return [
    ...[...wanted].flatMap(([name, { uid, runs }]) => {
      const pod = there.get(name);
      if (pod === undefined || pod.metadata.uid !== uid) return [`${name} is lost`];
      const status = pod.status?.containerStatuses?.[0];
      const restarts = status?.restartCount ?? 0;
      if (!runs) return restarts > 0 || status?.state?.waiting !== undefined ? [] : [`${name} has not failed yet`];
      const ready = pod.status?.conditions?.find(({ type }) => type === "Ready")?.status === "True";
      return ready && status?.ready === true && pod.status?.podIP !== undefined
        ? []
        : [`${name} does not run: ${JSON.stringify(pod.status)}`];
    }),
    ...[...deleted].flatMap(([name, uid]) => (there.get(name)?.metadata.uid === uid ? [`${name} is still there`] : [])),
    ...[...claims].flatMap(([name, uid]) =>
      claimsThere.some(({ metadata }) => metadata.uid === uid) ? [] : [`claim ${name} is lost`],
    ),
  ];
}

async function checkTruth(where: string): Promise<void> {
  let left: string[] = [];
  try {
    await until("what was acknowledged", async () => (left = await amiss()).length === 0, 40_000);
  } catch (error) {
    if (codeOf(error) !== "timeout") throw error;
    assert.deepEqual(left, [], `seed ${seed}, ${where}\n${node.logTail()}`);
  }
  const { items } = await client.resource(pods).list({ namespace });
  for (const pod of items) {
    const name = pod.metadata.name;
    if (wanted.get(name)?.runs !== true) continue;
    const before = ran.get(name);
    if (before !== undefined) assert.equal(container(pod), before, `seed ${seed}, ${where}: ${name} was restarted`);
    ran.set(name, container(pod));
  }
  const addresses = items.flatMap(({ status }) => (status?.podIP === undefined ? [] : [status.podIP]));
  assert.equal(new Set(addresses).size, addresses.length, `seed ${seed}, ${where}: an address is held twice`);
}

test("a node killed at any instant forgets nothing it has acknowledged", { timeout: 300_000 }, async (t) => {
  t.diagnostic(`TRIPOD_CHAOS_SEED=${seed}`);
  const places = failpoints();
  const end = performance.now() + budgetMs;
  for (let round = 0; performance.now() < end; round += 1) {
    const place =
      process.env.TRIPOD_CHAOS_FAILPOINTS !== undefined || round % 3 !== 0 ? places[below(places.length)] : undefined;
    const where = `round ${round}, killed ${place === undefined ? "by chance" : `at ${place}`}`;
    await node.kill("SIGKILL");
    // A failpoint may end the node before it is ready: that is a round as well.
    const up = await node.up(place === undefined ? {} : { TRIPOD_FAILPOINT: place }).catch(() => undefined);
    if (up !== undefined) {
      const stop = new AbortController();
      const timer = setTimeout(() => stop.abort(), place === undefined ? 200 + below(2000) : 3000);
      const loading = load(stop.signal);
      await until("the end of the round", () => stop.signal.aborted || !node.isUp, 10_000);
      const died = !node.isUp;
      // Killed under load, not between two requests.
      await node.kill("SIGKILL");
      await loading;
      clearTimeout(timer);
      t.diagnostic(`${where}${place === undefined || died ? "" : " (the node itself went on)"}`);
    } else t.diagnostic(`${where} (while starting)`);
    await node.up();
    await checkTruth(where);
  }
});

/** The cgroups of Pods below a node's own, whatever the hierarchy. */
function podCgroups(parent: string): string[] {
  const root = "/sys/fs/cgroup";
  return [".", ...readdirSync(root)].flatMap((hierarchy) => {
    const folder = join(root, hierarchy, parent);
    if (!existsSync(folder)) return [];
    return readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isDirectory() && /^pod[0-9a-f]{8}-/.test(entry.name))
      .map((entry) => `cgroup ${join(entry.parentPath, entry.name)}`);
  });
}

test("when all is deleted nothing is left of it", { timeout: 120_000 }, async () => {
  if (!node.isUp) await node.up();
  await client.resource(pods).deleteCollection({ namespace, gracePeriodSeconds: 0 });
  await client.resource(persistentVolumeClaims).deleteCollection({ namespace });
  let left: string[] = [];
  const { layout, network } = node;
  const list = (folder: string): string[] => (existsSync(folder) ? readdirSync(folder) : []);
  const remaining = async (): Promise<string[]> => {
    const objects = [
      ...(await client.resource(pods).list({ namespace })).items.map(({ metadata }) => `pod ${metadata.name}`),
      ...(await client.resource(persistentVolumes).list()).items.map(({ metadata }) => `volume ${metadata.name}`),
    ];
    const links = (await network.run("ip", ["-o", "link"])).stdout.toString().split("\n");
    const rules = (await network.run("nft", ["list", "ruleset"])).stdout.toString().split("\n");
    const conflist = JSON.parse(readFileSync(join(layout.cniConfDir, "99-tripod.conflist"), "utf8")) as {
      name: string;
    }; // we wrote it
    const machine = (await leakSnapshot()).filter(
      (line) => line.includes(layout.root ?? "") || line.includes(layout.instance),
    );
    return [
      ...objects,
      ...list(layout.sandboxesDir).map((name) => `sandbox ${name}`),
      ...list(layout.containersDir).map((name) => `container ${name}`),
      ...list(join(layout.kubeletDir, "pods")).map((name) => `pod folder ${name}`),
      ...list(join(layout.cniDataDir, conflist.name))
        .filter((name) => /^\d+\./.test(name))
        .map((name) => `address ${name}`),
      ...list(join(layout.cniCacheDir, "results")).map((name) => `result ${name}`),
      ...list(join(layout.runDir, "handlers/runc")).map((name) => `runc ${name}`),
      ...podCgroups(layout.cgroupParent),
      ...links.filter((line) => /veth|master/.test(line)).map((line) => `link ${line}`),
      ...rules.filter((line) => /dnat|10\.\d+\.\d+\.\d+ .*masquerade/.test(line)).map((line) => `rule ${line}`),
      ...machine.filter((line) => /^mount|conmon|catatonit|sleep/.test(line)),
    ];
  };
  try {
    await until("an empty node", async () => (left = await remaining()).length === 0, 40_000);
  } catch (error) {
    if (codeOf(error) !== "timeout") throw error;
    assert.deepEqual(left, [], `seed ${seed}\n${node.logTail()}`);
  }
});

test("tripod down leaves nothing on the machine", { timeout: 60_000 }, async () => {
  await node.kill("SIGKILL");
  await node.tripod("down");
  const { layout } = node;
  assert.deepEqual(
    (await leakSnapshot()).filter((line) => line.includes(`${layout.root}/`) || line.includes(layout.instance)),
    [],
  );
  for (const gone of [layout.libDir, layout.runDir, layout.kubeletDir]) assert.ok(!existsSync(gone), gone);
});
