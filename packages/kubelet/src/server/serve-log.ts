import type { ServerResponse } from "node:http";
import { once } from "node:events";
import { isAbsolute, join } from "node:path";
import { latestContainer, readPodActual } from "../cri/pod-actual.ts";
import { nameOf, namespaceOf, uidOf } from "../pods/pod-facts.ts";
import { podLogFolder } from "../pods/pod-log-folder.ts";
import { containerForLog, requiredPod } from "./find-container.ts";
import { parseLogRequest } from "./log-request.ts";
import { readContainerLog } from "./read-container-log.ts";
import type { ServerContext } from "./server-context.ts";

/** How long an answer's head waits for the first line of a log. */
const quietMs = 50;

export interface ContainerName {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
}

/** Answers a request for a container's log, as plain text, for as long as it is followed. */
export async function serveLog(
  context: ServerContext,
  name: ContainerName,
  { query, response, signal }: { query: URLSearchParams; response: ServerResponse; signal: AbortSignal },
): Promise<void> {
  const wanted = parseLogRequest(query, Date.now());
  const pod = requiredPod(context, name.namespace, name.pod);
  const container = await containerForLog(context, pod, { container: name.container, previous: wanted.previous });
  const identity = { namespace: namespaceOf(pod), name: nameOf(pod), uid: uidOf(pod) };
  const folder = podLogFolder(context.podLogsDir, identity);
  const lines = readContainerLog({
    ...wanted,
    path: isAbsolute(container.logPath) ? container.logPath : join(folder, container.logPath),
    isRunning: async () => {
      const now = await readPodActual(context.cri, identity.uid);
      const found = latestContainer(now, container.name);
      return found?.id === container.id && found.state === "running";
    },
    onContainerChange: (listener) => context.onPodChange(identity.uid, listener),
    signal,
  });
  // The first step finds a log that cannot be read while the answer can still say so; a quiet log that is followed answers at once.
  const first = lines.next();
  await Promise.race([first, new Promise((later) => setTimeout(later, quietMs))]);
  response.writeHead(200, { "content-type": "text/plain" });
  response.flushHeaders();
  for (let step = await first; step.done !== true; step = await lines.next()) {
    if (!response.write(step.value)) await once(response, "drain", { signal });
  }
  response.end();
}
