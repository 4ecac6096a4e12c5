import { connect } from "node:net";
import type { Container, Probe } from "@tripod/api/kubernetes";
import { messageOf } from "@tripod/base";
import type { CriClient } from "../cri/cri-client.ts";
import { checkGrpcHealth } from "./grpc-health.ts";
import { httpGet } from "./http-get.ts";
import { httpUrl, portNumber } from "./probe-target.ts";

/** What a probe found. The message is what the Event shows of a failure. */
export type ProbeOutcome = { readonly ok: true } | { readonly ok: false; readonly message: string };

export interface ProbeInput {
  readonly probe: Probe;
  readonly container: Container;
  readonly containerId: string;
  readonly podIp: string;
  readonly cri: CriClient;
}

/** The most output of a probe that an Event shows. */
const maxOutput = 1024;

function connectTcp(host: string, port: number, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port });
    socket.setTimeout(timeoutMs, () => {
      socket.destroy();
      reject(new Error(`dial tcp ${host}:${port}: no answer within ${timeoutMs / 1000}s`));
    });
    socket.once("connect", () => {
      socket.destroy();
      resolve();
    });
    socket.once("error", (error) => {
      socket.destroy();
      reject(error);
    });
  });
}

async function runExec({ probe, containerId, cri }: ProbeInput, timeoutMs: number): Promise<ProbeOutcome> {
  const reply = await cri.runtime.execSync(
    { containerId, cmd: probe.exec?.command ?? [], timeout: BigInt(Math.ceil(timeoutMs / 1000)) },
    // The runtime ends the command itself; the margin is for its answer.
    { timeoutMs: timeoutMs + 5000 },
  );
  if (reply.exitCode === 0) return { ok: true };
  const output = Buffer.concat([reply.stdout, reply.stderr]).toString("utf8").trim().slice(0, maxOutput);
  return { ok: false, message: output === "" ? `command exited with code ${reply.exitCode}` : output };
}

/** Runs a probe once. Never throws: a probe that cannot be made has failed. */
export async function runProbe(input: ProbeInput): Promise<ProbeOutcome> {
  const { probe, container, podIp } = input;
  const timeoutMs = (probe.timeoutSeconds ?? 1) * 1000;
  try {
    if (probe.exec !== undefined) return await runExec(input, timeoutMs);
    if (probe.httpGet !== undefined) {
      const url = httpUrl(probe.httpGet, container, podIp);
      const headers = probe.httpGet.httpHeaders ?? [];
      const { status } = await httpGet(url, { headers, timeoutMs, userAgent: "kube-probe/1.33" });
      return status >= 200 && status < 400
        ? { ok: true }
        : { ok: false, message: `HTTP probe failed with statuscode: ${status}` };
    }
    if (probe.tcpSocket !== undefined) {
      const { host, port } = probe.tcpSocket;
      await connectTcp(host === undefined || host === "" ? podIp : host, portNumber(port, container), timeoutMs);
      return { ok: true };
    }
    if (probe.grpc !== undefined) {
      const { port, service = "" } = probe.grpc;
      await checkGrpcHealth({ host: podIp, port }, { service, timeoutMs });
      return { ok: true };
    }
    return { ok: false, message: "the probe names no action" };
  } catch (error) {
    return { ok: false, message: messageOf(error).slice(0, maxOutput) };
  }
}
