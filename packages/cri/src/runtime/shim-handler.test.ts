import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import { ContainerState } from "@tripod/api/cri";
import { AsyncQueue } from "@tripod/base";
import { processIsRunning, waitForExit } from "@tripod/linux";
import { execOverWebSocket, type TerminalSize } from "@tripod/streaming";
import { interop, peer } from "@tripod/testing";
import { startTestNode, type TestNode } from "../testing/test-node.ts";

const shim = "containerd-shim-runc-v2";
const sockets = (): string[] => (existsSync("/run/containerd/s") ? readdirSync("/run/containerd/s") : []);

describe(
  interop({ interface: "shim v2", caller: "Tripod's CRI server", callee: `${shim} of ${peer("containerd")}` }),
  () => {
    let node: TestNode;
    let socketsBefore: string[];
    before(async () => {
      socketsBefore = sockets();
      node = await startTestNode({
        ownProcess: true,
        config: { defaultHandler: "shim", handlers: { shim: { program: shim, kind: "shim" } } },
      });
    });
    after(async () => {
      await node[Symbol.asyncDispose]();
    });

    const nothingLeft = (): void => {
      assert.deepEqual(node.leaks(), []);
      assert.deepEqual(sockets(), socketsBefore);
    };
    const run = async () => (await node.runtime.runPodSandbox({ config: node.sandboxConfig() })).podSandboxId;
    const remove = async (podSandboxId: string): Promise<void> => {
      await node.runtime.removePodSandbox({ podSandboxId });
      nothingLeft();
    };
    const initPid = async (containerId: string): Promise<number> => {
      const { info } = await node.runtime.containerStatus({ containerId, verbose: true });
      return (JSON.parse(info.info ?? "") as { pid: number }).pid; // as the server writes it
    };
    /** The shim that keeps the container. */
    const shimPid = (containerId: string): number => {
      const found = readdirSync("/proc").find((pid) => {
        if (!/^\d+$/.test(pid)) return false;
        try {
          const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
          return words[0]?.endsWith(shim) && words.includes(containerId);
        } catch {
          return false; // it ended since readdir
        }
      });
      assert.ok(found, `shim of ${containerId}`);
      return Number(found);
    };

    test("a container runs, is worked in, measured, limited, attached to, stopped, and goes", async () => {
      const { runtime } = node;
      const { runtimeHandlers } = await runtime.status({});
      assert.deepEqual(runtimeHandlers.find(({ name }) => name === "shim")?.features, {
        ...runtimeHandlers.find(({ name }) => name === "")?.features,
      });
      const podSandboxId = await run();
      const script =
        "trap 'echo bye; exit 9' TERM; echo up; echo no >&2; while read -r line; do echo got $line; done; echo end";
      const containerId = await node.run(podSandboxId, `${script}; while :; do sleep 0.1; done`, {
        stdin: true,
        stdinOnce: true,
      });
      const fed = await runtime.execSync({ containerId, cmd: ["sh", "-c", "hostname; echo why >&2; exit 3"] });
      assert.equal(fed.exitCode, 3);
      assert.match(Buffer.from(fed.stdout).toString(), /^pod/);
      assert.equal(Buffer.from(fed.stderr).toString(), "why\n");
      await assert.rejects(runtime.execSync({ containerId, cmd: ["sleep", "1000"], timeout: 1n }), /killed after 1000/);
      await assert.rejects(runtime.execSync({ containerId, cmd: ["/none"] }), /\/none/);

      await runtime.updateContainerResources({ containerId, linux: { memoryLimitInBytes: 64n << 20n } });
      const { stats } = await runtime.containerStats({ containerId });
      assert.ok((stats?.memory?.workingSetBytes?.value ?? 0n) > 0n);
      assert.ok((stats?.memory?.availableBytes?.value ?? 0n) <= 64n << 20n);

      const attach = await runtime.attach({ containerId, stdin: true, stdout: true });
      const [stdin, stdout] = [new PassThrough(), new PassThrough()];
      let output = "";
      const both = new Promise<void>((resolve) => {
        stdout.on("data", (chunk: Buffer) => {
          output += chunk.toString();
          if (output.includes("got one\ngot two\nend\n")) resolve(); // the end of its input has reached it
        });
      });
      const attached = execOverWebSocket({ url: attach.url, stdin, stdout });
      stdin.end("one\ntwo\n");
      await both;
      await runtime.stopContainer({ containerId, timeout: 10n });
      await attached;
      const { status } = await runtime.containerStatus({ containerId });
      assert.equal(status?.exitCode, 9);
      assert.deepEqual((await node.log(containerId)).toSorted(), [
        "stderr F no",
        "stdout F bye",
        "stdout F end",
        "stdout F got one",
        "stdout F got two",
        "stdout F up",
      ]);
      await remove(podSandboxId);
    });

    test("terminals have the size that they are given; running out of memory is told apart", async () => {
      const { runtime } = node;
      const podSandboxId = await run();
      const containerId = await node.run(podSandboxId, "read line; stty size; sleep 1000", { tty: true, stdin: true });
      const { url } = await runtime.exec({ containerId, cmd: ["sh"], tty: true, stdin: true, stdout: true });
      const [stdin, stdout] = [new PassThrough(), new PassThrough()];
      const resize = new AsyncQueue<TerminalSize>();
      resize.push({ width: 91, height: 17 });
      const session = execOverWebSocket({ url, stdin, stdout, resize });
      const output = text(stdout);
      stdin.write("while [ \"$(stty size)\" != '17 91' ]; do sleep 0.05; done; echo so; exit 5\n");
      assert.equal((await session).exitCode, 5);
      stdout.end();
      assert.match(await output, /so\r\n/);
      const hungry = await node.run(podSandboxId, "tail /dev/zero", {
        linux: { resources: { memoryLimitInBytes: 32n << 20n, memorySwapLimitInBytes: 32n << 20n } },
      });
      const status = await node.reached(hungry, ContainerState.CONTAINER_EXITED);
      assert.equal(status.reason, "OOMKilled");
      assert.equal(status.exitCode, 137);
      await remove(podSandboxId);
    });

    test("while the server is dead containers run, log and end; then all of it is known", async () => {
      const podSandboxId = await run();
      const ends = await node.run(
        podSandboxId,
        "while [ ! -e /go ]; do echo tick; sleep 0.02; done; echo tock; exit 5",
      );
      const stays = await node.run(podSandboxId, "trap 'exit 4' TERM; while :; do sleep 0.1; done");
      const loses = await node.run(podSandboxId, "sleep 1000");
      const pid = await initPid(ends);
      const lost = shimPid(loses);
      const { status } = await node.runtime.containerStatus({ containerId: ends });
      await node.kill();
      writeFileSync(`/proc/${pid}/root/go`, ""); // nobody else is there to ask it
      process.kill(lost, "SIGKILL");
      await Promise.all([waitForExit(pid), waitForExit(lost)]);
      await node.start();
      assert.equal((await node.reached(ends, ContainerState.CONTAINER_EXITED)).exitCode, 5);
      assert.match(readFileSync(status?.logPath ?? "", "utf8"), /stdout F tock\n$/);
      assert.equal((await node.reached(loses, ContainerState.CONTAINER_EXITED)).exitCode, 137);
      assert.equal((await node.runtime.execSync({ containerId: stays, cmd: ["hostname"] })).exitCode, 0);
      await node.runtime.stopContainer({ containerId: stays, timeout: 10n });
      assert.equal((await node.runtime.containerStatus({ containerId: stays })).status?.exitCode, 4);
      await remove(podSandboxId);
    });

    test("a container ends with its shim, and a hanging shim keeps nothing from being removed", async () => {
      const podSandboxId = await run();
      const ends = await node.run(podSandboxId, "sleep 1000");
      const hangs = await node.run(podSandboxId, "sleep 1000");
      const pid = await initPid(ends);
      process.kill(shimPid(ends), "SIGKILL");
      const status = await node.reached(ends, ContainerState.CONTAINER_EXITED);
      assert.equal(status.exitCode, 137);
      await waitForExit(pid);
      process.kill(shimPid(hangs), "SIGSTOP");
      await remove(podSandboxId);
    });

    for (const failpoint of ["oci.shim.holder-started", "oci.shim.started", "oci.shim.task-created"]) {
      test(`killed at ${failpoint}, nothing of the container is left, and its sandbox lives`, async () => {
        const podSandboxId = await run();
        await node.kill();
        await node.start(failpoint);
        await assert.rejects(node.create(podSandboxId, "sleep 1000"));
        await node.died();
        await node.start();
        assert.deepEqual((await node.runtime.listContainers({})).containers, []);
        assert.deepEqual(sockets(), socketsBefore);
        await node.run(podSandboxId, "sleep 1000");
        await remove(podSandboxId);
      });
    }

    for (const failpoint of ["oci.shim.exit-recorded", "oci.shim.released"]) {
      test(`killed at ${failpoint}, the container's end is known on the next start`, async () => {
        await node.kill();
        await node.start(failpoint);
        const podSandboxId = await run();
        const containerId = await node.run(podSandboxId, "while [ ! -e /go ]; do sleep 0.02; done; echo end; exit 6");
        writeFileSync(`/proc/${await initPid(containerId)}/root/go`, "");
        await node.died();
        await node.start();
        assert.equal((await node.reached(containerId, ContainerState.CONTAINER_EXITED)).exitCode, 6);
        assert.deepEqual(await node.log(containerId), ["stdout F end"]);
        await remove(podSandboxId);
      });
    }

    test("what no record knows of is ended on the next start, with its shim", async () => {
      const containerId = await node.run(await run(), "sleep 1000");
      const pids = [await initPid(containerId), shimPid(containerId)];
      await node.kill();
      for (const file of readdirSync(node.layout.recordsDir)) {
        if (file.startsWith("cri.sqlite")) rmSync(join(node.layout.recordsDir, file));
      }
      await node.start();
      nothingLeft();
      assert.deepEqual(
        pids.filter((pid) => processIsRunning(pid)),
        [],
      );
    });
  },
);
