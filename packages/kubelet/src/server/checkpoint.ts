import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { isTripodError, messageOf, TripodError } from "@tripod/base";
import { requiredPod, runningContainer } from "./find-container.ts";
import type { ServerContext } from "./server-context.ts";

/** Seconds of a day: a longer wait is asked for by mistake. */
const maxTimeoutSeconds = 86_400;

export interface CheckpointTarget {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
  /** The query's text; seconds, the runtime's own choice when null or "0". */
  readonly timeout: string | null;
}

function secondsOf(text: string | null): bigint {
  if (text === null) return 0n;
  if (/^\d{1,5}$/.test(text) && Number(text) <= maxTimeoutSeconds) return BigInt(text);
  throw new TripodError(
    "invalid",
    `checkpoint: the timeout ${JSON.stringify(text)} is no number of seconds up to a day`,
  );
}

/**
 * Has the runtime write a container, which goes on, to an archive in the kubelet's folder `checkpoints`; what the Kubelet Checkpoint API
 * answers: `{"items": [path]}` (kubernetes.io/docs/reference/node/kubelet-checkpoint-api). Why the runtime could not is an "internal" error.
 */
export async function checkpoint(context: ServerContext, target: CheckpointTarget): Promise<object> {
  const { namespace, pod, container: name, timeout } = target;
  const seconds = secondsOf(timeout);
  const container = await runningContainer(context, requiredPod(context, namespace, pod), name);
  const folder = join(context.kubeletDir, "checkpoints");
  await mkdir(folder, { recursive: true, mode: 0o700 });
  // Colons are no part of a file's name everywhere; the milliseconds tell two of one second apart.
  const now = new Date().toISOString().replaceAll(":", "-");
  const location = join(folder, `checkpoint-${pod}_${namespace}-${name}-${now}.tar`);
  try {
    await context.cri.runtime.checkpointContainer({ containerId: container.id, location, timeout: seconds });
  } catch (error) {
    if (isTripodError(error, "not-found", "unimplemented")) throw error;
    const why = messageOf(error);
    throw new TripodError("internal", `checkpointing of ${namespace}/${pod}/${name} failed (${why})`, { cause: error });
  }
  return { items: [location] };
}
