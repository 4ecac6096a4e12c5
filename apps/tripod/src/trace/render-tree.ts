import type { SpanNode } from "./span-tree.ts";

/** The attributes that are shown on lines of their own, as JSON in and out. */
const payloads: readonly (readonly [attribute: string, label: string])[] = [
  ["cni.stdin", "in "],
  ["cni.stdout", "out"],
  ["rpc.request", "in "],
  ["rpc.reply", "out"],
];

export interface RenderOptions {
  /** Columns to cut payload lines at; no cut when absent. */
  readonly width?: number;
  /** Whether requests and replies of gRPC calls are shown as well as those of CNI plugins. */
  readonly payloads: "cni" | "all" | "none";
}

const oneLine = (value: unknown): string =>
  (typeof value === "string" ? value : JSON.stringify(value)).replaceAll(/\s*\n\s*/g, " ");

function payloadLines(node: SpanNode, indent: string, options: RenderOptions): string[] {
  if (options.payloads === "none") return [];
  return payloads.flatMap(([attribute, label]) => {
    const value = node.span.attributes[attribute];
    if (value === undefined || value === "" || (options.payloads === "cni" && !attribute.startsWith("cni."))) return [];
    const line = `${" ".repeat(25)}${indent}${label} ${oneLine(value)}`;
    return [options.width !== undefined && line.length > options.width ? `${line.slice(0, options.width - 1)}…` : line];
  });
}

/**
 * A tree of text: when each span began (milliseconds from the first), how long it took, and what it was. The two sides of one
 * gRPC call stand on one line: the caller's time.
 */
export function renderTree(roots: readonly SpanNode[], options: RenderOptions): string {
  const first = roots[0]?.span.startMs ?? 0;
  const lines: string[] = ["   start ms     took ms"];
  const visit = (node: SpanNode, branch: string, rest: string): void => {
    const { span } = node;
    const server = node.children.find(
      (child) => child.span.name === span.name && child.span.attributes["rpc.side"] === "server",
    );
    const shown: SpanNode =
      server === undefined
        ? node
        : {
            span: { ...span, attributes: { ...span.attributes, ...server.span.attributes } },
            children: server.children,
          };
    const error = span.error === undefined ? "" : `  ✗ ${oneLine(span.error)}`;
    lines.push(
      `${(span.startMs - first).toFixed(1).padStart(11)} ${span.durationMs.toFixed(1).padStart(11)}  ${branch}${span.name}${error}`,
    );
    const hasChildren = shown.children.length > 0;
    lines.push(...payloadLines(shown, `${rest}${hasChildren ? "│  " : "   "}`, options));
    shown.children.forEach((child, index) => {
      const isLast = index === shown.children.length - 1;
      visit(child, `${rest}${isLast ? "└─ " : "├─ "}`, `${rest}${isLast ? "   " : "│  "}`);
    });
  };
  for (const root of roots) visit(root, "", "");
  return lines.join("\n");
}
