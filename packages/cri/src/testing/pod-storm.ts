import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { ContainerState, NamespaceMode, PodSandboxState } from "@tripod/api/cri";
import { codeOf } from "@tripod/base";
import { processIsRunning, processStartTime } from "@tripod/linux";
import type { SeededRandom } from "@tripod/testing";
import type { SandboxInit, TestNode } from "./test-node.ts";

/** What the client of a runtime knows of one container: only what it was told, and what it has asked for. */
interface KnownContainer {
  readonly id: string;
  /** Set once its start was acknowledged. */
  init?: { readonly pid: number; readonly startTime: number };
  /** A stop has been asked for, a start has failed, or its supervisor was killed: it need not run. */
  doomed: boolean;
  /** A removal has been asked for: it need not be there. */
  removing: boolean;
}

interface KnownPod {
  readonly config: SandboxInit;
  sandboxId?: string;
  /** By container name. */
  readonly containers: Map<string, KnownContainer>;
  ending: boolean;
}

const { CONTAINER_CREATED, CONTAINER_EXITED, CONTAINER_RUNNING } = ContainerState;

/** The server was killed, so that nobody knows whether what was asked for has been done. */
const serverGone = ["unavailable", "cancelled", "timeout"];

/**
 * Pods that are made, used and removed at random over a runtime whose parts are killed meanwhile. Each keeps to what a kubelet does: it
 * repeats what failed, and believes nothing but replies.
 */
export class PodStorm {
  readonly #node: TestNode;
  readonly #random: SeededRandom;
  readonly #pods: (KnownPod | undefined)[];
  /** Why operations failed, each with how often. */
  readonly failures = new Map<string, number>();
  operations = 0;

  constructor(node: TestNode, options: { readonly random: SeededRandom; readonly pods: number }) {
    this.#node = node;
    this.#random = options.random;
    this.#pods = Array.from({ length: options.pods }, () => undefined);
  }

  /** To be told before a supervisor is killed. */
  supervisorDies(containerId: string): void {
    for (const pod of this.#pods) {
      for (const container of pod?.containers.values() ?? []) if (container.id === containerId) container.doomed = true;
    }
  }

  /** Containers whose start was acknowledged and that nobody has asked to end. */
  running(): string[] {
    const containers = this.#pods.flatMap((pod) => [...(pod?.containers.values() ?? [])]);
    return containers.filter(({ init, doomed }) => init !== undefined && !doomed).map(({ id }) => id);
  }

  /** Works on all Pods side by side until the abort, or until the server is gone. */
  async rage(until: AbortSignal): Promise<void> {
    await Promise.all(
      this.#pods.map(async (_, slot) => {
        while (!until.aborted && (await this.#step(slot)));
      }),
    );
  }

  /** One operation on one Pod; false when the server is gone. A failure that no kill explains is thrown. */
  async #step(slot: number): Promise<boolean> {
    const pod = (this.#pods[slot] ??= this.#newPod());
    this.operations += 1;
    try {
      await this.#operate(slot, pod);
      return true;
    } catch (error) {
      const code = codeOf(error) ?? "";
      if (serverGone.includes(code)) return false;
      // "internal": conmon or runc was killed; "failed-precondition": the container or the sandbox's init was.
      if (code !== "internal" && code !== "failed-precondition") throw error;
      const message = (error as Error).message.replaceAll(/[0-9a-f]{64}|\d+/g, "…"); // codeOf() told a TripodError
      this.failures.set(message, (this.failures.get(message) ?? 0) + 1);
      return true;
    }
  }

  #newPod(): KnownPod {
    const sharedPid = this.#random.next() < 0.3;
    const config = this.#node.sandboxConfig(
      sharedPid ? { linux: { securityContext: { namespaceOptions: { pid: NamespaceMode.POD } } } } : {},
    );
    return { config, containers: new Map(), ending: false };
  }

  async #operate(slot: number, pod: KnownPod): Promise<void> {
    const { runtime } = this.#node;
    if (pod.sandboxId === undefined) {
      pod.sandboxId = (await runtime.runPodSandbox({ config: pod.config })).podSandboxId;
      return;
    }
    const podSandboxId = pod.sandboxId;
    if (pod.ending || this.#random.next() < 0.06) {
      pod.ending = true;
      for (const container of pod.containers.values()) container.doomed = true;
      if (this.#random.next() < 0.5) await runtime.stopPodSandbox({ podSandboxId });
      await runtime.removePodSandbox({ podSandboxId });
      this.#pods[slot] = undefined;
      return;
    }
    const name = this.#random.pick(["a", "b", "c"]);
    const container = pod.containers.get(name);
    if (container === undefined) await this.#create(pod, { podSandboxId, name });
    else await this.#use(pod, { name, container });
  }

  async #create(pod: KnownPod, { podSandboxId, name }: { podSandboxId: string; name: string }): Promise<void> {
    try {
      const change = { metadata: { name, attempt: 0 }, logPath: `${name}.log`, tty: name === "c" };
      const id = await this.#node.create(podSandboxId, "trap 'exit 0' TERM; sleep 1000 & wait", change);
      pod.containers.set(name, { id, doomed: false, removing: false });
    } catch (error) {
      // Created before the server was killed, and its supervisor killed since: it has to be removed, as a kubelet does.
      if (codeOf(error) !== "already-exists") throw error;
      const { containers } = await this.#node.runtime.listContainers({ filter: { podSandboxId } });
      const holder = containers.find(({ metadata }) => metadata?.name === name);
      assert.equal(holder?.state, CONTAINER_EXITED, `the name ${name} is taken by nobody: ${JSON.stringify(error)}`);
      await this.#node.runtime.removeContainer({ containerId: holder.id });
    }
  }

  async #use(pod: KnownPod, { name, container }: { name: string; container: KnownContainer }): Promise<void> {
    const { runtime } = this.#node;
    const { id } = container;
    if (container.init === undefined && !container.doomed) {
      const pid = await this.#pidOf(id);
      const startTime = processStartTime(pid);
      try {
        await runtime.startContainer({ containerId: id });
      } catch (error) {
        // Whether it was started nobody knows; a kubelet would kill it.
        container.doomed = true;
        throw error;
      }
      if (startTime !== undefined) container.init = { pid, startTime };
      return;
    }
    const dice = this.#random.next();
    if (!container.doomed && dice < 0.5) {
      const { exitCode } = await runtime.execSync({ containerId: id, cmd: ["sh", "-c", "exit 7"] });
      // 255 and 137: the runtime was killed while it ran the command.
      assert.ok([7, 137, 255].includes(exitCode), `exec ended with ${exitCode}`);
      return;
    }
    container.doomed = true;
    if (dice < 0.8 && !container.removing) {
      await runtime.stopContainer({ containerId: id, timeout: this.#random.next() < 0.5 ? 0n : 1n });
      const { status } = await runtime.containerStatus({ containerId: id });
      assert.equal(status?.state, CONTAINER_EXITED, `${id} was stopped`);
    }
    container.removing = true;
    await runtime.removeContainer({ containerId: id });
    pod.containers.delete(name);
  }

  async #pidOf(containerId: string): Promise<number> {
    const { info } = await this.#node.runtime.containerStatus({ containerId, verbose: true });
    const parsed: unknown = JSON.parse(info.info ?? "{}");
    return typeof parsed === "object" && parsed !== null && "pid" in parsed ? Number(parsed.pid) : 0;
  }

  /** Compares what the server says with what it acknowledged before and with what the kernel knows; nothing may be under way. */
  async checkTruth(where: string): Promise<void> {
    const { runtime } = this.#node;
    const { items } = await runtime.listPodSandbox({});
    for (const pod of this.#pods) {
      if (pod?.sandboxId === undefined) continue;
      const shown = items.find(({ id }) => id === pod.sandboxId);
      if (!pod.ending) assert.equal(shown?.state, PodSandboxState.SANDBOX_READY, `${where}: sandbox ${pod.sandboxId}`);
      for (const { id, init, doomed } of pod.containers.values()) {
        if (init === undefined || doomed) continue;
        const { status } = await runtime.containerStatus({ containerId: id });
        assert.equal(status?.state, CONTAINER_RUNNING, `${where}: ${id} ran and should run`);
        assert.equal(await this.#pidOf(id), init.pid, `${where}: ${id} is another process`);
        assert.ok(processIsRunning(init.pid, init.startTime), `${where}: ${id} runs according to the server alone`);
      }
    }
    for (const { id, state } of (await runtime.listContainers({})).containers) {
      const pid = await this.#pidOf(id);
      const held = pid > 0 && processIsRunning(pid) && readFileSync(`/proc/${pid}/cgroup`, "utf8").includes(id);
      if (state === CONTAINER_EXITED) assert.ok(!held, `${where}: ${id} is shown as exited and runs`);
      else if (!held) {
        // Its end may have come between the two questions.
        assert.ok(state === CONTAINER_CREATED || state === CONTAINER_RUNNING, `${where}: ${id} is in state ${state}`);
        await this.#node.reached(id, CONTAINER_EXITED);
      }
    }
  }

  /** Removes all Pods. */
  async settle(): Promise<void> {
    const { runtime } = this.#node;
    for (const { id } of (await runtime.listPodSandbox({})).items) await runtime.removePodSandbox({ podSandboxId: id });
    assert.deepEqual((await runtime.listContainers({})).containers, []);
    this.#pods.fill(undefined);
  }
}
