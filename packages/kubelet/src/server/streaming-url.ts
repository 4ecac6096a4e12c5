import { TripodError } from "@tripod/base";
import { requiredPod, runningContainer, runningSandbox } from "./find-container.ts";
import type { ServerContext } from "./server-context.ts";

const flag = (query: URLSearchParams, ...names: string[]): boolean =>
  names.some((name) => ["true", "1"].includes(query.get(name) ?? ""));

/**
 * The runtime's one-time URL for an exec, attach or portForward request. The path is /exec/NAMESPACE/POD/CONTAINER (with the Pod's uid
 * before the container, or without), /portForward/NAMESPACE/POD.
 */
export async function streamingUrl(
  context: ServerContext,
  path: readonly string[],
  query: URLSearchParams,
): Promise<string> {
  const [verb, namespace = "", podName = ""] = path;
  const pod = requiredPod(context, namespace, podName);
  const { runtime } = context.cri;
  if (verb === "portForward") {
    const port = query
      .getAll("port")
      .flatMap((text) => text.split(","))
      .map(Number);
    if (port.some((each) => !Number.isInteger(each) || each < 1 || each > 65535)) {
      throw new TripodError("invalid", `port=${query.getAll("port").join(",")}: is not a port`);
    }
    return (await runtime.portForward({ podSandboxId: await runningSandbox(context, pod), port })).url;
  }
  const { id: containerId } = await runningContainer(context, pod, path[path.length - 1] ?? "");
  const stdin = flag(query, "input", "stdin");
  const stdout = flag(query, "output", "stdout");
  const tty = flag(query, "tty");
  // A terminal has one output.
  const stderr = flag(query, "error", "stderr") && !tty;
  if (!stdin && !stdout && !stderr) {
    throw new TripodError("invalid", `${verb}: ask for at least one of input, output and error`);
  }
  if (verb === "attach") return (await runtime.attach({ containerId, stdin, stdout, stderr, tty })).url;
  const cmd = query.getAll("command");
  if (cmd.length === 0) throw new TripodError("invalid", "exec: no command is given");
  return (await runtime.exec({ containerId, cmd, stdin, stdout, stderr, tty })).url;
}
