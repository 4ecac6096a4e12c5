import { join } from "node:path";
import type { Pod } from "@tripod/api/kubernetes";
import { failpoint, messageOf } from "@tripod/base";
import { containerConfig } from "../containers/container-config.ts";
import { buildEnvironment } from "../containers/environment.ts";
import { runHook } from "../containers/lifecycle-hook.ts";
import { StartError } from "../containers/start-error.ts";
import type { SandboxConfigInit } from "../cri/cri-client.ts";
import { latestContainer, type PodActual, type SandboxActual } from "../cri/pod-actual.ts";
import { containerDevices, containerMounts } from "../volumes/container-mounts.ts";
import type { MountedVolume } from "../volumes/mounted-volume.ts";
import { podPaths } from "../volumes/pod-paths.ts";
import type { ContainerImages } from "./image-pulls.ts";
import type { PodContext } from "./pod-context.ts";
import { uidOf } from "./pod-facts.ts";
import type { StartStep } from "./pod-plan.ts";

/** Upstream lets a postStart hook run as long as it likes; ten minutes end one that hangs. */
const postStartTimeoutMs = 600_000;

export interface StartContainerInput {
  readonly pod: Pod;
  readonly step: StartStep;
  readonly images: ContainerImages;
  readonly sandbox: SandboxActual;
  readonly sandboxConfig: SandboxConfigInit;
  readonly actual: PodActual;
  readonly volumes: ReadonlyMap<string, MountedVolume>;
  /** Path of the /etc/hosts that the Pod's containers share. */
  readonly hostsFile: string;
}

/** The container whose processes an ephemeral one asks to see. */
function targetIdOf({ step, actual }: StartContainerInput): string | undefined {
  // Only an ephemeral container has the field; Container is what the two kinds have in common.
  const name = (step.container as { targetContainerName?: string }).targetContainerName;
  return name === undefined ? undefined : latestContainer(actual, name)?.id;
}

async function callCreate(input: StartContainerInput, context: PodContext, signal: AbortSignal): Promise<string> {
  const { pod, step, images, sandbox, sandboxConfig } = input;
  const { layout, objects, hostIps, allocatable } = context;
  const podIps = pod.spec?.hostNetwork === true ? hostIps : sandbox.ips;
  const environment = await buildEnvironment({
    pod,
    container: step.container,
    facts: { podIps, hostIps, allocatable },
    source: objects,
    serviceVariables: await objects.serviceVariables(pod),
  });
  const imageVolumes = [...images.volumes].map(
    ([name, { imageRef }]) => [name, { kind: "image", imageRef, readOnly: true }] as const,
  );
  const users = await context.userNamespaces.of(pod);
  const mountsInput = {
    container: step.container,
    volumes: new Map([...input.volumes, ...imageVolumes]),
    environment,
    paths: podPaths(layout.kubeletDir, uidOf(pod)),
    hostsFile: input.hostsFile,
    users,
  };
  const targetId = targetIdOf(input);
  const config = containerConfig({
    pod,
    container: step.container,
    attempt: step.attempt,
    imageRef: images.own.imageRef,
    imageUser: images.own.user,
    environment,
    mounts: await containerMounts(mountsInput),
    devices: containerDevices(mountsInput),
    machine: context.machine,
    seccompDir: join(layout.kubeletDir, "seccomp"),
    users,
    ...(targetId === undefined ? {} : { targetId }),
  });
  try {
    const request = { podSandboxId: sandbox.id, config, sandboxConfig };
    return (await context.cri.runtime.createContainer(request, { signal })).containerId;
  } catch (cause) {
    signal.throwIfAborted();
    throw new StartError("CreateContainerError", messageOf(cause), { cause });
  }
}

/** Creates one container; the result is its id. A failure is told as an Event, and thrown. */
export async function createContainer(
  input: StartContainerInput,
  context: PodContext,
  signal: AbortSignal,
): Promise<string> {
  const { pod, step } = input;
  const { name } = step.container;
  try {
    const containerId = await callCreate(input, context, signal);
    context.events.normal(pod, "Created", `Created container: ${name}`, name);
    failpoint("kubelet.container.created");
    return containerId;
  } catch (error) {
    if (!signal.aborted) context.events.warning(pod, "Failed", `Error: ${messageOf(error)}`, name);
    throw error;
  }
}

/**
 * Starts a container that was created and runs its postStart hook. A failure is a StartError with the reason that the Pod's status shows; it
 * has been told as an Event already.
 */
export async function startContainer(
  input: StartContainerInput,
  containerId: string,
  context: PodContext,
  signal: AbortSignal,
): Promise<void> {
  const { pod, step } = input;
  const { cri, events } = context;
  const { name } = step.container;
  try {
    await cri.runtime.startContainer({ containerId }, { signal });
  } catch (cause) {
    signal.throwIfAborted();
    events.warning(pod, "Failed", `Error: ${messageOf(cause)}`, name);
    throw new StartError("RunContainerError", messageOf(cause), { cause });
  }
  events.normal(pod, "Started", `Started container ${name}`, name);
  failpoint("kubelet.container.started");
  await runPostStart(input, containerId, context, signal);
}

async function runPostStart(
  { pod, step, sandbox }: StartContainerInput,
  containerId: string,
  { cri, events, hostIps }: PodContext,
  signal: AbortSignal,
): Promise<void> {
  const { container } = step;
  const handler = container.lifecycle?.postStart;
  if (handler === undefined) return;
  const podIp = sandbox.ips[0] ?? hostIps[0] ?? "127.0.0.1";
  try {
    await runHook({ handler, container, containerId, podIp, cri, timeoutMs: postStartTimeoutMs, signal });
  } catch (cause) {
    signal.throwIfAborted();
    events.warning(pod, "FailedPostStartHook", `PostStartHook failed: ${messageOf(cause)}`, container.name);
    await cri.runtime.stopContainer({ containerId, timeout: 2n }, { signal });
    throw new StartError("PostStartHookError", messageOf(cause), { cause });
  }
}
