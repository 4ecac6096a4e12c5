import type { Pod } from "@tripod/api/kubernetes";
import { TripodError } from "@tripod/base";
import { type ContainerActual, currentSandbox, readPodActual } from "../cri/pod-actual.ts";
import { allContainers, uidOf } from "../pods/pod-facts.ts";
import type { ServerContext } from "./server-context.ts";

/** The Pod that a request names; "not-found" when it is not on this node. */
export function requiredPod(context: ServerContext, namespace: string, name: string): Pod {
  const found = context.findPod(namespace, name);
  if (found !== undefined) return found;
  throw new TripodError("not-found", `pod ${namespace}/${name}: is not on this node`);
}

function requireSpec(pod: Pod, name: string): void {
  if (allContainers(pod).some((container) => container.name === name)) return;
  throw new TripodError("not-found", `container ${name} is not valid for pod ${pod.metadata?.name ?? ""}`);
}

/** A container's state as the API server has it. */
function stateOf({ status }: Pod, name: string) {
  const { containerStatuses = [], initContainerStatuses = [], ephemeralContainerStatuses = [] } = status ?? {};
  const all = [...containerStatuses, ...initContainerStatuses, ...ephemeralContainerStatuses];
  return all.find((each) => each.name === name)?.state;
}

/** The container whose log is asked for: the newest of its name or, with `previous`, the newest dead one before it. */
export async function containerForLog(
  context: ServerContext,
  pod: Pod,
  { container: name, previous }: { readonly container: string; readonly previous: boolean },
): Promise<ContainerActual> {
  requireSpec(pod, name);
  const { containers } = await readPodActual(context.cri, uidOf(pod));
  const own = containers.filter((container) => container.name === name);
  const podName = pod.metadata?.name ?? "";
  if (previous) {
    const dead = own.filter(({ state }) => state === "exited");
    // While a dead container waits for its next run, it is itself the one before.
    const waits = stateOf(pod, name)?.waiting !== undefined;
    const found = own[0]?.state === "exited" && !waits ? dead[1] : dead[0];
    if (found !== undefined) return found;
    throw new TripodError("invalid", `previous terminated container "${name}" in pod "${podName}" not found`);
  }
  const found = own[0];
  if (found !== undefined && found.state !== "created") return found;
  const reason = stateOf(pod, name)?.waiting?.reason ?? "ContainerCreating";
  throw new TripodError("invalid", `container "${name}" in pod "${podName}" is waiting to start: ${reason}`);
}

/** The running container for exec and attach. */
export async function runningContainer(context: ServerContext, pod: Pod, name: string): Promise<ContainerActual> {
  requireSpec(pod, name);
  const { containers } = await readPodActual(context.cri, uidOf(pod));
  const found = containers.find((container) => container.name === name && container.state === "running");
  if (found !== undefined) return found;
  throw new TripodError(
    "failed-precondition",
    `container "${name}" of pod "${pod.metadata?.name ?? ""}" is not running`,
  );
}

/** The id of the Pod's sandbox, for port forwarding. */
export async function runningSandbox(context: ServerContext, pod: Pod): Promise<string> {
  const sandbox = currentSandbox(await readPodActual(context.cri, uidOf(pod)));
  if (sandbox !== undefined) return sandbox.id;
  throw new TripodError("failed-precondition", `pod "${pod.metadata?.name ?? ""}" is not running`);
}
