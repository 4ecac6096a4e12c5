import { setTimeout as sleep } from "node:timers/promises";
import type { Container, LifecycleHandler } from "@tripod/api/kubernetes";
import { TripodError } from "@tripod/base";
import type { CriClient } from "../cri/cri-client.ts";
import { httpGet } from "../probes/http-get.ts";
import { httpUrl } from "../probes/probe-target.ts";

export interface HookInput {
  readonly handler: LifecycleHandler;
  readonly container: Container;
  readonly containerId: string;
  readonly podIp: string;
  readonly cri: CriClient;
  /** The most that the hook may take. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** Runs a postStart or preStop hook to its end; its failure is an error with the hook's own output. */
export async function runHook(input: HookInput): Promise<void> {
  const { handler, container, containerId, cri, timeoutMs, signal } = input;
  if (handler.exec !== undefined) {
    const cmd = handler.exec.command ?? [];
    const timeout = BigInt(Math.ceil(timeoutMs / 1000));
    const reply = await cri.runtime.execSync({ containerId, cmd, timeout }, { signal, timeoutMs: timeoutMs + 2000 });
    if (reply.exitCode === 0) return;
    const output = Buffer.concat([reply.stdout, reply.stderr]).toString("utf8").trim().slice(0, 1024);
    throw new TripodError(
      "failed-precondition",
      `Exec lifecycle hook (${cmd.join(" ")}) exited with ${reply.exitCode}: ${output}`,
    );
  }
  if (handler.httpGet !== undefined) {
    const url = httpUrl(handler.httpGet, container, input.podIp);
    const headers = handler.httpGet.httpHeaders ?? [];
    const { status } = await httpGet(url, { headers, timeoutMs, userAgent: "kube-lifecycle/1.33", signal });
    if (status < 200 || status >= 400)
      throw new TripodError("failed-precondition", `lifecycle hook ${url.href}: HTTP ${status}`);
    return;
  }
  if (handler.sleep !== undefined) {
    await sleep(Math.min(handler.sleep.seconds * 1000, timeoutMs), undefined, { signal });
    return;
  }
  throw new TripodError(
    "unimplemented",
    `lifecycle hook of container ${container.name}: names no action of exec, httpGet, sleep`,
  );
}
