import assert from "node:assert/strict";
import { readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ownDrivers } from "../../apps/tripod/src/node/driver-processes.ts";
import { noKubectl, until } from "@tripod/testing";
import { image, TestNode } from "./node.ts";

const skip = noKubectl ?? false;
let node: TestNode;

before(async () => {
  if (!skip) node = await TestNode.start();
});
after(async () => {
  await node?.[Symbol.asyncDispose]();
});

const pod = (name: string, spec: string): string => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}}
spec:
  terminationGracePeriodSeconds: 1
${spec}`;
const sleeper = (name: string): string =>
  pod(name, `  containers: [{name: main, image: "${image}", command: [sleep, "3600"]}]`);

const refusal = async (manifest: string): Promise<string> => {
  const result = await node.kubectl(["apply", "-f", "-"], { input: manifest, okExitCodes: "any" });
  assert.notEqual(result.exitCode, 0);
  return result.stderr.toString();
};

/** The messages of an object's Events, waited for until one matches. */
async function untilEvent(name: string, reason: string, message: RegExp): Promise<void> {
  let seen = "";
  await until(`Event ${reason} ${message} of ${name}`, async () => {
    seen = await node.text(
      "get",
      "events",
      "--field-selector",
      `involvedObject.name=${name},reason=${reason}`,
      "-o",
      "jsonpath={.items[*].message}",
    );
    return message.test(seen);
  }).catch((error: unknown) => {
    throw new Error(`${String(error)}; seen: ${seen}\n${node.logTail()}`);
  });
}

test("a manifest with a wrong field gets the field's path", { skip }, async () => {
  assert.match(
    await refusal(pod("x", "  containers: [{name: main, image: a, comand: [x]}]")),
    /unknown field "spec\.containers\[0\]\.comand"/,
  );
  assert.match(await refusal(pod("x", "  containers: [{name: main}]")), /spec\.containers\[0\]\.image: Required value/);
  assert.match(await refusal(pod("x", "  containers: []")), /spec\.containers: Required value/);
  assert.match(
    await refusal(pod("Not_A_Name", "  containers: [{name: main, image: a}]")),
    /metadata\.name: Invalid value: "Not_A_Name"/,
  );
});

test("a missing image gives ErrImagePull, then ImagePullBackOff, with the registry's reason in an Event", {
  skip,
}, async () => {
  await node.apply(pod("noimage", "  containers: [{name: main, image: registry.tripod.dev/no/such:1}]"));
  await untilEvent("noimage", "Failed", /no\/such:1.*(not found|unknown)/i);
  await node.kubectl([
    "wait",
    "--for=jsonpath={.status.containerStatuses[0].state.waiting.reason}=ImagePullBackOff",
    "pod/noimage",
    "--timeout=30s",
  ]);
  await node.kubectl(["delete", "pod", "noimage", "--timeout=30s"]);
});

test("a broken CNI configuration leaves the node NotReady and names file and line", { skip }, async () => {
  const broken = join(node.layout.cniConfDir, "00-broken.conflist");
  writeFileSync(broken, '{\n  "cniVersion": "1.0.0",\n  "name": "x"\n  "plugins": []\n}\n');
  await node.kubectl(["wait", "--for=condition=Ready=false", "node", "--all", "--timeout=30s"]);
  const message = await node.text(
    "get",
    "nodes",
    "-o",
    'jsonpath={.items[0].status.conditions[?(@.type=="Ready")].message}',
  );
  assert.match(message, /00-broken\.conflist:4/);
  rmSync(broken);
  await node.kubectl(["wait", "--for=condition=Ready", "node", "--all", "--timeout=30s"]);
});

test("a full address range is an Event that names the range, is retried, and leaks nothing", { skip }, async () => {
  const file = join(node.layout.cniConfDir, "99-tripod.conflist");
  const original = readFileSync(file, "utf8");
  const conflist = JSON.parse(original) as {
    name: string;
    plugins: { ipam?: { ranges?: { subnet: string; rangeStart?: string; rangeEnd?: string }[][] } }[];
  }; // what tripod up wrote
  const range = conflist.plugins.find((plugin) => plugin.ipam)?.ipam?.ranges?.[0]?.[0];
  assert.ok(range);
  const base = range.subnet.split(".").slice(0, 3).join(".");
  Object.assign(range, { rangeStart: `${base}.200`, rangeEnd: `${base}.200` });
  writeFileSync(file, JSON.stringify(conflist));
  try {
    await node.apply(sleeper("first"));
    await node.kubectl(["wait", "--for=condition=Ready", "pod/first", "--timeout=30s"]);
    await node.apply(sleeper("second"));
    await untilEvent("second", "FailedCreatePodSandBox", new RegExp(`${base}\\.200`));
    await node.kubectl(["delete", "pod", "first", "--timeout=30s"]);
    await node.kubectl(["wait", "--for=condition=Ready", "pod/second", "--timeout=60s"]);
    await node.kubectl(["delete", "pod", "second", "--timeout=30s"]);
    assert.deepEqual(
      readdirSync(join(node.layout.cniDataDir, conflist.name)).filter((name) => name.startsWith(base)),
      [],
    );
  } finally {
    writeFileSync(file, original);
  }
});

const claim = (name: string): string => `
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: fast}
provisioner: ${ownDrivers.hostpath}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: ${name}}
spec: {storageClassName: fast, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
`;

test("a volume that cannot be mounted is a FailedMount Event, is retried, and the Pod can be deleted", {
  skip,
}, async () => {
  await node.apply(
    pod(
      "nomount",
      `  containers: [{name: main, image: "${image}", command: [sleep, "9"], volumeMounts: [{name: v, mountPath: /v}]}]\n  volumes: [{name: v, hostPath: {path: /no/such/folder, type: Directory}}]`,
    ),
  );
  await untilEvent("nomount", "FailedMount", /\/no\/such\/folder/);
  await node.kubectl(["delete", "pod", "nomount", "--timeout=30s"]);
});

test("a CSI driver that dies is started again, and the Pod that waits for it runs", { skip }, async () => {
  await node.apply(claim("site"));
  await node.kubectl(["wait", "--for=jsonpath={.status.phase}=Bound", "pvc/site", "--timeout=30s"]);
  const driver = async (): Promise<number | undefined> => {
    const found = await node.network.run("pgrep", ["-f", `csi serve hostpath.*${node.root}/`], { okExitCodes: "any" });
    return found.exitCode === 0 ? Number(found.stdout.toString().split("\n")[0]) : undefined;
  };
  const old = await driver();
  assert.ok(old);
  process.kill(old, "SIGSTOP"); // it takes the call and never answers …
  await node.apply(
    pod(
      "vol",
      `  containers: [{name: main, image: "${image}", command: [sh, -c, "echo kept >/v/f; sleep 3600"], volumeMounts: [{name: v, mountPath: /v}]}]\n  volumes: [{name: v, persistentVolumeClaim: {claimName: site}}]`,
    ),
  );
  await node.kubectl(["wait", "--for=condition=PodScheduled", "pod/vol", "--timeout=30s"]);
  process.kill(old, "SIGKILL"); // … and dies mid-call
  await untilEvent("vol", "FailedMount", /hostpath\.csi\.tripod\.dev/);
  await node.kubectl(["wait", "--for=condition=Ready", "pod/vol", "--timeout=90s"]);
  assert.equal(await node.text("exec", "vol", "--", "cat", "/v/f"), "kept");
  await node.kubectl(["delete", "pod", "vol", "--timeout=30s"]);
  await node.kubectl(["delete", "pvc", "site", "--timeout=30s"]);
  await until("the volume is deleted", async () => (await node.text("get", "pv")) === "");
});

test("a command that does not exist is a RunContainerError with runc's reason, and restarts back off", {
  skip,
}, async () => {
  await node.apply(pod("nocommand", `  containers: [{name: main, image: "${image}", command: [no-such-program]}]`));
  await untilEvent("nocommand", "Failed", /no-such-program/);
  await node.kubectl(["delete", "pod", "nocommand", "--timeout=30s"]);
});
