// A kubelet in a process of its own, for tests that kill it: argv[2] is a JSON of its options without the log. Prints "ready".
import { createLogger, layoutOf } from "@tripod/base";
import type { KubeletOptions } from "../kubelet-options.ts";
import { startKubelet } from "../start-kubelet.ts";

const options = JSON.parse(process.argv[2] ?? "{}") as Omit<KubeletOptions, "log" | "layout"> & { root: string }; // the test's own
await startKubelet({ ...options, layout: layoutOf(options.root), log: createLogger("kubelet", { level: "error" }) });
process.stdout.write("ready\n");
