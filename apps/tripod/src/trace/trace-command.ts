import { layoutOf, TripodError } from "@tripod/base";
import { readSpans } from "@tripod/trace";
import { Command } from "commander";
import { renderTree } from "./render-tree.ts";
import { settledTraces } from "./settled-traces.ts";
import { podTraces, spanTrees } from "./span-tree.ts";

interface TracePodOptions {
  readonly root?: string;
  readonly namespace: string;
  readonly all?: true;
  readonly payloads: "cni" | "all" | "none";
  readonly full?: true;
  readonly json?: true;
}

async function tracePod(name: string, options: TracePodOptions): Promise<void> {
  const layout = layoutOf(options.root);
  const pod = { namespace: options.namespace, name };
  const read = async () => podTraces(await Array.fromAsync(readSpans(layout.traceDir)), pod, options.all !== true);
  const traces = await settledTraces(read, layout.traceDir);
  if (traces.length === 0) {
    throw new TripodError(
      "not-found",
      `trace pod ${options.namespace}/${name}: no span of it is kept in ${layout.traceDir}; check --root and -n, or start the Pod again`,
    );
  }
  if (options.json) {
    process.stdout.write(
      `${JSON.stringify(
        traces.map((trace) => spanTrees(trace)),
        null,
        2,
      )}\n`,
    );
    return;
  }
  const width = options.full ? undefined : (process.stdout.columns ?? 200);
  const rendered = traces.map((trace) =>
    renderTree(spanTrees(trace), { payloads: options.payloads, ...(width === undefined ? {} : { width }) }),
  );
  process.stdout.write(`${rendered.join("\n\n")}\n`);
}

/** `tripod trace`: a reader of the spans that every hop leaves. */
export function traceCommand(): Command {
  const trace = new Command("trace")
    .description("Print what happened, hop by hop, with times")
    .addHelpText("after", "\nExample:\n  tripod trace pod web --root /tmp/node");
  trace
    .command("pod")
    .argument("<name>", "the Pod's name")
    .description("Print a Pod's start as a tree: kubelet, CRI, each CNI plugin with its JSON, runc, CSI")
    .option("--root <dir>", "the instance's folder")
    .option("-n, --namespace <namespace>", "the Pod's namespace", "default")
    .option("--all", "every trace that touches the Pod, not its latest start alone")
    .option("--payloads <which>", "which requests and replies to print: cni, all or none", "cni")
    .option("--full", "do not cut long lines")
    .option("--json", "print the trees as JSON")
    .addHelpText("after", "\nExamples:\n  tripod trace pod web\n  tripod trace pod web -n shop --payloads all --full")
    .action((name: string, options: TracePodOptions) => tracePod(name, options));
  return trace;
}
