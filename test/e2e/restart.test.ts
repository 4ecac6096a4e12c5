import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { noKubectl, until } from "@tripod/testing";
import { image, TestNode } from "./node.ts";

const skip = noKubectl ?? false;
let node: TestNode;

const counter = `
apiVersion: v1
kind: Pod
metadata: {name: counter}
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: main
      image: ${image}
      command: [sh, -c, 'i=0; while :; do echo line $i; i=$((i+1)); sleep 0.2; done']
`;

before(async () => {
  if (skip) return;
  node = await TestNode.start();
  await node.apply(counter);
  await node.kubectl(["wait", "--for=condition=Ready", "pod/counter", "--timeout=60s"]);
});
after(async () => {
  await node?.[Symbol.asyncDispose]();
});

const logFile = (): string => {
  const [pod = ""] = readdirSync(node.layout.podLogsDir).filter((name) => name.startsWith("default_counter_"));
  return join(node.layout.podLogsDir, pod, "main/0.log");
};
const logLines = (): number => readFileSync(logFile(), "utf8").split("\n").length;

for (const signal of ["SIGKILL", "SIGTERM"] as const) {
  test(`after ${signal} the container runs on, its log flows, and the next daemon knows it`, { skip }, async () => {
    const before = await node.text(
      "get",
      "pod",
      "counter",
      "-o",
      "jsonpath={.status.podIP} {.status.containerStatuses[0].containerID}",
    );
    await node.kill(signal);
    const lines = logLines();
    await until("three more lines while the daemon is down", () => logLines() > lines + 3);
    await node.up();
    await node.kubectl(["wait", "--for=condition=Ready", "pod/counter", "--timeout=30s"]);
    const now = await node.text(
      "get",
      "pod",
      "counter",
      "-o",
      "jsonpath={.status.podIP} {.status.containerStatuses[0].containerID}",
    );
    assert.equal(now, before);
    assert.equal(
      await node.text("get", "pod", "counter", "-o", "jsonpath={.status.containerStatuses[0].restartCount}"),
      "0",
    );
    assert.match(await node.text("exec", "counter", "--", "echo", "still here"), /still here/);
    const text = await node.text("logs", "counter");
    const numbers = text.split("\n").map((line) => Number(line.replace("line ", "")));
    assert.deepEqual(
      numbers,
      numbers.map((_, index) => index),
      "no line is lost or doubled",
    );
  });
}

test("a container that ended while the daemon was down is seen, and restarted by its policy", { skip }, async () => {
  const id = (
    await node.text("get", "pod", "counter", "-o", "jsonpath={.status.containerStatuses[0].containerID}")
  ).replace("tripod://", "");
  await node.kill("SIGKILL");
  const state = JSON.parse(
    (
      await node.network.run("runc", ["--root", join(node.layout.runDir, "handlers/runc"), "state", id])
    ).stdout.toString(),
  ) as { pid: number }; // runc's documented output
  process.kill(state.pid, "SIGKILL");
  await node.up();
  await node.kubectl([
    "wait",
    "--for=jsonpath={.status.containerStatuses[0].restartCount}=1",
    "pod/counter",
    "--timeout=60s",
  ]);
  assert.equal(
    await node.text(
      "get",
      "pod",
      "counter",
      "-o",
      "jsonpath={.status.containerStatuses[0].lastState.terminated.exitCode}",
    ),
    "137",
  );
  await node.kubectl(["wait", "--for=condition=Ready", "pod/counter", "--timeout=60s"]);
});

test("a Pod deleted after a kill -9 leaves no namespace, mount or address", { skip }, async () => {
  await node.kill("SIGKILL");
  await node.up();
  await node.kubectl(["delete", "pod", "counter", "--timeout=60s"]);
  await until("the sandbox's namespaces are gone", () => readdirSync(node.layout.sandboxesDir).length === 0);
  const mounts = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line.includes(node.root));
  assert.deepEqual(mounts, []);
  const network = JSON.parse(readFileSync(join(node.layout.cniConfDir, "99-tripod.conflist"), "utf8")) as {
    name: string;
  }; // we wrote it
  const held = readdirSync(join(node.layout.cniDataDir, network.name)).filter((name) => /^\d+\./.test(name));
  assert.deepEqual(held, []);
});
