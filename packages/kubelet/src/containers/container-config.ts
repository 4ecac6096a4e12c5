import { Signal } from "@tripod/api/cri";
import type { Container, Pod } from "@tripod/api/kubernetes";
import type { ContainerConfigInit, MountInit } from "../cri/cri-client.ts";
import {
  containerHashAnnotation,
  containerNameLabel,
  podGracePeriodAnnotation,
  podNameLabel,
  podNamespaceLabel,
  podUidLabel,
  preStopHandlerAnnotation,
  restartCountAnnotation,
  terminationMessagePathAnnotation,
  terminationMessagePolicyAnnotation,
} from "../cri/pod-labels.ts";
import { containerHash, nameOf, namespaceOf, uidOf } from "../pods/pod-facts.ts";
import type { IdRange } from "../pods/user-namespaces.ts";
import { expandVariables } from "./expand-variables.ts";
import { containerResources, type MachineMemory } from "./linux-resources.ts";
import { containerSecurity, type ImageUser } from "./security-context.ts";

export interface ContainerConfigInput {
  readonly pod: Pod;
  readonly container: Container;
  readonly attempt: number;
  /** What PullImage answered. */
  readonly imageRef: string;
  readonly imageUser: ImageUser;
  readonly environment: ReadonlyMap<string, string>;
  readonly mounts: readonly MountInit[];
  readonly devices: ContainerConfigInit["devices"];
  readonly machine: MachineMemory;
  readonly seccompDir: string;
  /** The Pod's own users; the host's when undefined. */
  readonly users?: IdRange | undefined;
  /** The container whose process namespace an ephemeral one joins. */
  readonly targetId?: string;
}

/** The path of a container's log below the Pod's log folder. */
export const containerLogPath = (name: string, attempt: number): string => `${name}/${attempt}.log`;

export const terminationMessagePathOf = (container: Container): string =>
  container.terminationMessagePath ?? "/dev/termination-log";

/** CRI's number for a stop signal such as SIGUSR1 or SIGRTMIN+2; the runtime's own choice for none or an unknown one. */
function stopSignal(name: string | undefined): Signal {
  const wireName = name?.replace("+", "PLUS").replace("-", "MINUS");
  const found = Object.entries(Signal).find(([key]) => key === wireName)?.[1];
  return typeof found === "number" ? (found as Signal) : Signal.RUNTIME_DEFAULT; // the table's values are Signals
}

/** What CreateContainer is told about a container. Pure. */
export function containerConfig(input: ContainerConfigInput): ContainerConfigInit {
  const { pod, container, environment } = input;
  const expand = (text: string): string => expandVariables(text, (name) => environment.get(name));
  return {
    metadata: { name: container.name, attempt: input.attempt },
    image: { image: input.imageRef, userSpecifiedImage: container.image ?? "" },
    command: (container.command ?? []).map(expand),
    args: (container.args ?? []).map(expand),
    workingDir: container.workingDir ?? "",
    envs: [...environment].map(([key, value]) => ({ key, value: Buffer.from(value) })),
    mounts: [...input.mounts],
    devices: [...(input.devices ?? [])],
    labels: {
      [containerNameLabel]: container.name,
      [podNameLabel]: nameOf(pod),
      [podNamespaceLabel]: namespaceOf(pod),
      [podUidLabel]: uidOf(pod),
    },
    annotations: {
      [containerHashAnnotation]: containerHash(container),
      [restartCountAnnotation]: String(input.attempt),
      [terminationMessagePathAnnotation]: terminationMessagePathOf(container),
      [terminationMessagePolicyAnnotation]: container.terminationMessagePolicy ?? "File",
      [podGracePeriodAnnotation]: String(pod.spec?.terminationGracePeriodSeconds ?? 30),
      ...(container.lifecycle?.preStop === undefined
        ? {}
        : { [preStopHandlerAnnotation]: JSON.stringify(container.lifecycle.preStop) }),
    },
    logPath: containerLogPath(container.name, input.attempt),
    stdin: container.stdin ?? false,
    stdinOnce: container.stdinOnce ?? false,
    tty: container.tty ?? false,
    linux: {
      resources: containerResources(pod, container, input.machine),
      securityContext: containerSecurity(pod, container, {
        image: input.imageUser,
        seccompDir: input.seccompDir,
        users: input.users,
        ...(input.targetId === undefined ? {} : { targetId: input.targetId }),
      }),
    },
    stopSignal: stopSignal(container.lifecycle?.stopSignal),
  };
}
