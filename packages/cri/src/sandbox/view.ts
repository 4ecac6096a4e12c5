import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type PodSandboxFilter,
  type PodSandboxSchema,
  PodSandboxState,
  type PodSandboxStatusSchema,
  type PodSandboxAttributesSchema,
} from "@tripod/api/cri";
import { isAlive } from "../container/process.ts";
import type { CriContext } from "../context.ts";
import { idMatches, labelsMatch } from "../filters.ts";
import { sandboxConfigOf, type SandboxRecord } from "../records/sandbox-record.ts";
import { namespacesAlive } from "./namespaces.ts";

/** Whether containers can be created in it. */
export function sandboxIsReady(context: Pick<CriContext, "layout">, sandbox: SandboxRecord): boolean {
  const initAlive = sandbox.init === undefined || isAlive(sandbox.init);
  return sandbox.phase === "ready" && initAlive && namespacesAlive(context, sandbox);
}

const sandboxState = (context: Pick<CriContext, "layout">, sandbox: SandboxRecord): PodSandboxState =>
  sandboxIsReady(context, sandbox) ? PodSandboxState.SANDBOX_READY : PodSandboxState.SANDBOX_NOTREADY;

/** A sandbox as ListPodSandbox shows it. */
export function sandboxListItem(
  context: CriContext,
  sandbox: SandboxRecord,
): MessageInitShape<typeof PodSandboxSchema> {
  const { metadata, labels, annotations } = sandboxConfigOf(sandbox);
  return {
    id: sandbox.id,
    metadata,
    state: sandboxState(context, sandbox),
    createdAt: BigInt(sandbox.createdAtNs),
    labels,
    annotations,
    runtimeHandler: sandbox.handler,
  };
}

/** A sandbox as PodSandboxStatus and the events show it. */
export function sandboxStatus(
  context: CriContext,
  sandbox: SandboxRecord,
): MessageInitShape<typeof PodSandboxStatusSchema> {
  const config = sandboxConfigOf(sandbox);
  const [ip = "", ...more] = sandbox.ips;
  const options = config.linux?.securityContext?.namespaceOptions;
  return {
    id: sandbox.id,
    metadata: config.metadata,
    state: sandboxState(context, sandbox),
    createdAt: BigInt(sandbox.createdAtNs),
    labels: config.labels,
    annotations: config.annotations,
    runtimeHandler: sandbox.handler,
    network: { ip, additionalIps: more.map((additional) => ({ ip: additional })) },
    linux: { namespaces: { ...(options !== undefined && { options }) } },
  };
}

/** A sandbox as the statistics name it. */
export function sandboxAttributes(sandbox: SandboxRecord): MessageInitShape<typeof PodSandboxAttributesSchema> {
  const { metadata, labels, annotations } = sandboxConfigOf(sandbox);
  return { id: sandbox.id, metadata, labels, annotations };
}

/** The sandboxes that all parts of the filter let through; those that are being made or removed are not shown. */
export function selectSandboxes(context: CriContext, filter: PodSandboxFilter | undefined): SandboxRecord[] {
  return context.sandboxes
    .list()
    .filter((sandbox) => sandbox.phase !== "making")
    .filter((sandbox) => idMatches(sandbox.id, filter?.id))
    .filter((sandbox) => filter?.state === undefined || sandboxState(context, sandbox) === filter.state.state)
    .filter((sandbox) => labelsMatch(sandboxConfigOf(sandbox).labels, filter?.labelSelector));
}
