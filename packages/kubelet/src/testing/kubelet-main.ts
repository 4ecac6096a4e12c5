// A kubelet in a process of its own, for tests that kill it: argv[2] is a JSON of its options without the log; `layout` has what of the root's
// layout is elsewhere. Prints "ready".
import { createLogger, type Layout, layoutOf } from "@tripod/base";
import type { KubeletOptions } from "../kubelet-options.ts";
import { startKubelet } from "../start-kubelet.ts";

interface Given extends Omit<KubeletOptions, "log" | "layout"> {
  readonly root: string;
  readonly layout?: Partial<Layout>;
}

const given = JSON.parse(process.argv[2] ?? "{}") as Given; // the test's own
const layout = { ...layoutOf(given.root), ...given.layout };
await startKubelet({ ...given, layout, log: createLogger("kubelet", { level: "error" }) });
process.stdout.write("ready\n");
