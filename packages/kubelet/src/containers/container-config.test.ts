import assert from "node:assert/strict";
import { test } from "node:test";
import type { Container, Pod } from "@tripod/api/kubernetes";
import { containerConfig } from "./container-config.ts";
import { parseResolvConf, podDnsConfig } from "./dns-config.ts";
import { buildEnvironment } from "./environment.ts";
import { expandVariables } from "./expand-variables.ts";
import { hostsFile } from "./hosts-file.ts";
import { containerResources, podResources } from "./linux-resources.ts";
import { podCgroups } from "./pod-cgroups.ts";
import { podHostname } from "./pod-hostname.ts";
import { containerSecurity } from "./security-context.ts";
import { StartError } from "./start-error.ts";

const pod = (spec: Partial<NonNullable<Pod["spec"]>> = {}): Pod => ({
  metadata: { name: "web", namespace: "shop", uid: "u1", labels: { app: "x" } },
  spec: { containers: [{ name: "c", image: "i" }], ...spec },
});
const noImageUser = { uid: undefined, username: "" };
const facts = { podIps: ["10.0.0.1", "fd00::1"], hostIps: ["192.0.2.1"], allocatable: { cpu: "4", memory: "8Gi" } };

test("expandVariables", () => {
  const known: Record<string, string> = { A: "1", B: "$(A)" };
  const rows: readonly [text: string, expected: string][] = [
    ["$(A)-$(B)", "1-$(A)"],
    ["$$(A)", "$(A)"],
    ["$(NONE) $A $", "$(NONE) $A $"],
    ["$$$(A)", "$1"],
  ];
  for (const [text, expected] of rows)
    assert.equal(
      expandVariables(text, (name) => known[name]),
      expected,
      text,
    );
});

test("the environment comes from values, fields, resources, ConfigMaps and Secrets", async () => {
  const container: Container = {
    name: "c",
    resources: { limits: { cpu: "1500m" }, requests: { memory: "64Mi" } },
    envFrom: [{ prefix: "P_", configMapRef: { name: "cm" } }, { secretRef: { name: "gone", optional: true } }],
    env: [
      { name: "PLAIN", value: "v" },
      { name: "BOTH", value: "$(PLAIN)/$(P_k)/$(HOST)" },
      { name: "IPS", valueFrom: { fieldRef: { fieldPath: "status.podIPs" } } },
      { name: "LABEL", valueFrom: { fieldRef: { fieldPath: "metadata.labels['app']" } } },
      { name: "CPU", valueFrom: { resourceFieldRef: { resource: "limits.cpu" } } },
      { name: "MEM", valueFrom: { resourceFieldRef: { resource: "requests.memory", divisor: "1Mi" } } },
      { name: "LIMIT", valueFrom: { resourceFieldRef: { resource: "limits.memory", divisor: "1Gi" } } },
      { name: "PASS", valueFrom: { secretKeyRef: { name: "s", key: "p" } } },
    ],
  };
  const environment = await buildEnvironment({
    pod: pod(),
    container,
    facts,
    serviceVariables: new Map([["HOST", "h"]]),
    source: {
      configMap: async (_namespace, name) => (name === "cm" ? { metadata: {}, data: { k: "w" } } : undefined),
      secret: async (_namespace, name) =>
        name === "s" ? { metadata: {}, data: { p: Buffer.from("pw").toString("base64") } } : undefined,
    },
  });
  assert.deepEqual(Object.fromEntries(environment), {
    HOST: "h",
    P_k: "w",
    PLAIN: "v",
    BOTH: "v/w/h",
    IPS: "10.0.0.1,fd00::1",
    LABEL: "x",
    CPU: "2",
    MEM: "64",
    LIMIT: "8",
    PASS: "pw",
  });
});

test("a missing key is a CreateContainerConfigError that names it", async () => {
  const container = { name: "c", env: [{ name: "A", valueFrom: { configMapKeyRef: { name: "cm", key: "k" } } }] };
  const source = { configMap: async () => ({ metadata: {}, data: {} }), secret: async () => undefined };
  await assert.rejects(
    buildEnvironment({ pod: pod(), container, facts, source, serviceVariables: new Map() }),
    (error) =>
      error instanceof StartError &&
      error.reason === "CreateContainerConfigError" &&
      error.message === "couldn't find key k in ConfigMap shop/cm",
  );
});

test("requests and limits become cgroup values", () => {
  const container: Container = {
    name: "c",
    resources: {
      requests: { cpu: "250m", memory: "1Gi" },
      limits: { cpu: "500m", memory: "2Gi", "hugepages-2Mi": "4Mi" },
    },
  };
  const machine = {
    memoryBytes: 10 * 1024 ** 3,
    hugePages: [2 * 1024 ** 2, 1024 ** 3].map((pageBytes) => ({ pageBytes, pages: 4 })),
  };
  const burstable = pod({ containers: [container] });
  assert.deepEqual(containerResources(burstable, container, machine), {
    cpuPeriod: 100_000n,
    cpuQuota: 50_000n,
    cpuShares: 256n,
    memoryLimitInBytes: 2n * 1024n ** 3n,
    oomScoreAdj: 900n,
    hugepageLimits: [
      { pageSize: "2MB", limit: 4n * 1024n ** 2n },
      { pageSize: "1GB", limit: 0n },
    ],
  });
  assert.equal(podCgroups("/tripod", "cgroupfs").of(burstable), "/tripod/kubepods/burstable/podu1");
  assert.equal(podResources(burstable).cpuShares, 256n);
  const none = containerResources(pod(), { name: "c" }, { memoryBytes: 1, hugePages: [] });
  assert.deepEqual([none.cpuShares, none.cpuQuota, none.oomScoreAdj], [2n, 0n, 1000n]);
});

test("dnsPolicy and dnsConfig become a resolver configuration", () => {
  const host = parseResolvConf("nameserver 9.9.9.9\nsearch example.org\noptions ndots:1 edns0\n# comment\n");
  const cluster = { servers: ["10.96.0.10"], domain: "cluster.local" };
  assert.deepEqual(podDnsConfig(pod(), host, cluster), {
    servers: ["10.96.0.10"],
    searches: ["shop.svc.cluster.local", "svc.cluster.local", "cluster.local", "example.org"],
    options: ["ndots:5"],
  });
  assert.deepEqual(podDnsConfig(pod(), host, { servers: [], domain: "cluster.local" }), host);
  assert.deepEqual(podDnsConfig(pod({ hostNetwork: true }), host, cluster), host);
  const own = pod({
    dnsPolicy: "Default",
    dnsConfig: {
      nameservers: ["1.1.1.1"],
      searches: ["a"],
      options: [{ name: "ndots", value: "3" }, { name: "debug" }],
    },
  });
  assert.deepEqual(podDnsConfig(own, host, cluster), {
    servers: ["9.9.9.9", "1.1.1.1"],
    searches: ["example.org", "a"],
    options: ["edns0", "ndots:3", "debug"],
  });
});

test("the hosts file names the Pod and its aliases", () => {
  const named = pod({ subdomain: "db" });
  const { hostname, domainName } = podHostname(named, "cluster.local");
  assert.equal(domainName, "web.db.shop.svc.cluster.local");
  const text = hostsFile({
    podIps: ["10.0.0.1"],
    hostname,
    domainName,
    aliases: [{ ip: "1.2.3.4", hostnames: ["a", "b"] }],
    hostFile: undefined,
  });
  assert.ok(text.includes("10.0.0.1\tweb.db.shop.svc.cluster.local\tweb\n"));
  assert.ok(text.endsWith("1.2.3.4\ta\tb\n"));
});

test("the security context of the container goes before the Pod's", () => {
  const container: Container = {
    name: "c",
    securityContext: {
      runAsUser: 7,
      allowPrivilegeEscalation: false,
      capabilities: { add: ["NET_ADMIN"], drop: ["ALL"] },
      readOnlyRootFilesystem: true,
    },
  };
  const owner = pod({ securityContext: { runAsUser: 5, runAsGroup: 6, fsGroup: 8, supplementalGroups: [9] } });
  const found = containerSecurity(owner, container, { image: noImageUser, seccompDir: "/s" });
  assert.equal(found.runAsUser?.value, 7n);
  assert.equal(found.runAsGroup?.value, 6n);
  assert.deepEqual(found.supplementalGroups, [8n, 9n]);
  assert.equal(found.noNewPrivs, true);
  assert.deepEqual(found.capabilities?.dropCapabilities, ["ALL"]);
});

test("runAsNonRoot refuses an image that runs as root", () => {
  const owner = pod({ securityContext: { runAsNonRoot: true } });
  const check = (image: { uid: number | undefined; username: string }) =>
    containerSecurity(owner, { name: "c" }, { image, seccompDir: "/s" });
  assert.throws(() => check({ uid: 0, username: "" }), /runs as root/);
  assert.throws(() => check({ uid: undefined, username: "nobody" }), /is a name/);
  assert.equal(check({ uid: 12, username: "" }).runAsUser?.value, 12n);
});

test("a container's configuration carries what a restarted kubelet needs", () => {
  const container: Container = {
    name: "c",
    image: "reg/i:1",
    args: ["--to=$(A)"],
    lifecycle: { preStop: { exec: { command: ["x"] } }, stopSignal: "SIGRTMIN+2" },
  };
  const config = containerConfig({
    pod: pod(),
    container,
    attempt: 2,
    imageRef: "sha256:1",
    imageUser: noImageUser,
    environment: new Map([["A", "b"]]),
    mounts: [],
    devices: [],
    machine: { memoryBytes: 1, hugePages: [] },
    seccompDir: "/s",
  });
  assert.deepEqual(config.args, ["--to=b"]);
  assert.equal(config.logPath, "c/2.log");
  assert.equal(config.image?.image, "sha256:1");
  assert.equal(config.annotations?.["io.kubernetes.container.preStopHandler"], '{"exec":{"command":["x"]}}');
  assert.equal(config.stopSignal, 37);
});
