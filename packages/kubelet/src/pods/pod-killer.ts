import { rm } from "node:fs/promises";
import type { Container, Pod } from "@tripod/api/kubernetes";
import { failpoint, isTripodError, messageOf } from "@tripod/base";
import { removeCgroup } from "@tripod/linux";
import type { ContainerActual, PodActual } from "../cri/pod-actual.ts";
import { killContainer } from "./kill-container.ts";
import type { PodContext } from "./pod-context.ts";
import { allContainers, initContainers, isSidecar } from "./pod-facts.ts";
import { type PodIdentity, podLogFolder } from "./pod-log-folder.ts";

export interface KillPodInput {
  /** Undefined for a Pod that nobody knows any more. */
  readonly pod: Pod | undefined;
  readonly actual: PodActual;
  readonly graceSeconds: number;
}

/** Ends all containers of a Pod (sidecars last, in reverse order) and stops its sandboxes. Everything is tried; repeatable. */
export async function killPod(input: KillPodInput, context: PodContext, signal: AbortSignal): Promise<void> {
  const { pod, actual } = input;
  const failures: unknown[] = [];
  const endMs = performance.now() + input.graceSeconds * 1000;
  const specs = new Map<string, Container>(
    (pod === undefined ? [] : allContainers(pod)).map((each) => [each.name, each]),
  );
  const sidecarNames =
    pod === undefined
      ? []
      : initContainers(pod)
          .filter(isSidecar)
          .map(({ name }) => name);
  const running = actual.containers.filter(({ state }) => state === "running");
  const podIp = actual.sandboxes[0]?.ips[0] ?? context.hostIps[0] ?? "127.0.0.1";
  const kill = async (container: ContainerActual): Promise<void> => {
    const graceSeconds = Math.max(1, Math.ceil((endMs - performance.now()) / 1000));
    try {
      await killContainer({ pod, container, spec: specs.get(container.name), graceSeconds, podIp }, context, signal);
    } catch (error) {
      failures.push(error);
    }
  };
  await Promise.all(running.filter(({ name }) => !sidecarNames.includes(name)).map(kill));
  for (const name of sidecarNames.toReversed()) {
    for (const container of running.filter((each) => each.name === name)) await kill(container);
  }
  signal.throwIfAborted();
  failpoint("kubelet.pod.containers-killed");
  for (const { id } of actual.sandboxes) {
    try {
      await context.cri.runtime.stopPodSandbox({ podSandboxId: id }, { signal });
    } catch (error) {
      if (!isTripodError(error, "not-found")) failures.push(error);
    }
  }
  signal.throwIfAborted();
  if (failures.length === 0) return;
  const error = new AggregateError(failures, "error killing pod");
  if (pod !== undefined) context.events.warning(pod, "FailedKillPod", messageOf(error));
  throw error;
}

/** Removes a stopped Pod's containers, sandboxes, logs and cgroup. Everything is tried; repeatable. */
export async function removePodRemains(
  identity: PodIdentity,
  actual: PodActual,
  context: PodContext,
  signal: AbortSignal,
): Promise<void> {
  const { cri, layout, cgroups } = context;
  const failures: unknown[] = [];
  const attempt = async (work: () => Promise<unknown>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      if (!isTripodError(error, "not-found")) failures.push(error);
    }
  };
  const ids = actual.containers.map(({ id }) => id).filter((id) => id !== "");
  await Promise.all(ids.map((id) => attempt(() => cri.runtime.removeContainer({ containerId: id }, { signal }))));
  for (const { id } of actual.sandboxes) {
    await attempt(() => cri.runtime.removePodSandbox({ podSandboxId: id }, { signal }));
  }
  failpoint("kubelet.pod.sandboxes-removed");
  await attempt(() => rm(podLogFolder(layout.podLogsDir, identity), { recursive: true, force: true }));
  await attempt(async () => {
    for (const cgroup of (await cgroups()).possible(identity.uid)) await attempt(() => removeCgroup(cgroup));
  });
  signal.throwIfAborted();
  if (failures.length > 0) throw new AggregateError(failures, `remove what is left of pod ${identity.uid}`);
}
