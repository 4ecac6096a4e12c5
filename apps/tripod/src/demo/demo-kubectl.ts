import { readFileSync } from "node:fs";
import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import type { KubernetesObject, Pod, Stored } from "@tripod/api/kubernetes";
import { isTripodError, TripodError } from "@tripod/base";
import { events, type KubeClient, pods, waitFor } from "@tripod/kube";
import { execOverWebSocket } from "@tripod/streaming";
import { parseAllDocuments } from "yaml";

// What the demo does with kubectl's verbs through our own client, because a bare machine has no kubectl.

const namespace = "default";

/** Creates the objects of a manifest that are not there yet; a line for each, as kubectl prints it. */
export async function applyFile(client: KubeClient, path: string): Promise<string> {
  const lines: string[] = [];
  for (const document of parseAllDocuments(readFileSync(path, "utf8"))) {
    const object = document.toJS() as KubernetesObject; // the API server checks it
    const ref = await client.resourceOf({ apiVersion: object.apiVersion ?? "", kind: object.kind ?? "" });
    const where = ref.namespaced ? { namespace } : {};
    const named = `${ref.plural}/${object.metadata.name}`;
    try {
      await client.resource(ref).create(object, where);
      lines.push(`${named} created`);
    } catch (error) {
      if (!isTripodError(error, "already-exists")) throw error;
      lines.push(`${named} unchanged`);
    }
  }
  return lines.join("\n");
}

/** Waits until the Pod is Ready, and tells each change of its phase and of its containers' states. */
export async function podReady(
  client: KubeClient,
  name: string,
  timeoutMs: number,
  tell: (text: string) => unknown,
): Promise<void> {
  let told = "";
  const isReady = (pod: Stored<Pod> | undefined): boolean => {
    const status = pod?.status;
    const waiting =
      status?.containerStatuses?.flatMap((each) =>
        each.state?.waiting?.reason === undefined ? [] : [`${each.name} ${each.state.waiting.reason}`],
      ) ?? [];
    const ready =
      status?.conditions?.some((condition) => condition.type === "Ready" && condition.status === "True") === true;
    const line = [status?.phase ?? "not seen yet", ...waiting, ...(ready ? ["Ready"] : [])].join(", ");
    if (line !== told) tell(line);
    told = line;
    return ready;
  };
  try {
    await waitFor(client.resource(pods), name, isReady, { namespace, timeoutMs });
  } catch (cause) {
    const { items } = await client
      .resource(events)
      .list({ namespace, fieldSelector: `involvedObject.name=${name},type=Warning` });
    const reasons = items.map((event) => `${event.reason}: ${event.message}`).join("; ");
    throw new TripodError(
      "timeout",
      `wait for pod ${name}: not Ready after ${timeoutMs / 1000} s: ${reasons || "no Event says why"}`,
      { cause },
    );
  }
}

/** Deletes the Pod and waits until it is gone. */
export async function deletePod(client: KubeClient, name: string, timeoutMs: number): Promise<void> {
  await client.resource(pods).delete(name, { namespace });
  await waitFor(client.resource(pods), name, (pod) => pod === undefined, { namespace, timeoutMs });
}

/** Runs a command in a container and resolves with what it printed; a failing command is an error. */
export async function execInPod(
  client: KubeClient,
  name: string,
  container: string,
  command: readonly string[],
): Promise<string> {
  const { server, ca, cert, key } = client.config;
  const query = new URLSearchParams({ container, stdout: "true", stderr: "true" });
  for (const word of command) query.append("command", word);
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const printed = Promise.all([text(stdout), text(stderr)]);
  const tls = {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  };
  const { exitCode } = await execOverWebSocket({
    url: `${server}/api/v1/namespaces/${namespace}/pods/${name}/exec?${query.toString()}`,
    tls,
    stdout,
    stderr,
  });
  for (const stream of [stdout, stderr]) stream.end(); // the client leaves them open
  const [out, errors] = await printed;
  if (exitCode !== 0)
    throw new TripodError("internal", `${command.join(" ")}: exit code ${exitCode}: ${errors.trim()}`);
  return out;
}
