import type { SpanRecord } from "@tripod/trace";

/** A span with its children in the order in which they began. */
export interface SpanNode {
  readonly span: SpanRecord;
  readonly children: SpanNode[];
}

/** The trees of one trace. A span whose parent was not kept is a root of its own. */
export function spanTrees(spans: readonly SpanRecord[]): SpanNode[] {
  const nodes = new Map(spans.map((span) => [span.spanId, { span, children: [] as SpanNode[] }]));
  const roots: SpanNode[] = [];
  for (const node of nodes.values()) {
    const parent = nodes.get(node.span.parentSpanId ?? "");
    (parent?.children ?? roots).push(node);
  }
  const byStart = (a: SpanNode, b: SpanNode): number => a.span.startMs - b.span.startMs;
  for (const node of nodes.values()) node.children.sort(byStart);
  return roots.sort(byStart);
}

/** Which Pod's traces to choose. */
export interface PodSelector {
  readonly namespace: string;
  readonly name: string;
}

const names = (span: SpanRecord, pod: PodSelector): boolean =>
  span.attributes["pod.name"] === pod.name && span.attributes["pod.namespace"] === pod.namespace;

/**
 * The traces that touch the Pod, oldest first, each with all of its spans. With `startOnly`, the last one in which a sandbox was
 * run: the Pod's latest start.
 */
export function podTraces(spans: readonly SpanRecord[], pod: PodSelector, startOnly: boolean): SpanRecord[][] {
  const byTrace = Map.groupBy(spans, (span) => span.traceId);
  const traces = [...byTrace.values()].filter((trace) => trace.some((span) => names(span, pod)));
  traces.sort((a, b) => Math.min(...a.map((span) => span.startMs)) - Math.min(...b.map((span) => span.startMs)));
  if (!startOnly) return traces;
  const starts = traces.filter((trace) => trace.some((span) => span.name === "RuntimeService/RunPodSandbox"));
  const last = starts.at(-1);
  return last === undefined ? [] : [last];
}
