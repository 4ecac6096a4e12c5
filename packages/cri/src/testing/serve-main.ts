// A CRI server in a process of its own, for tests that kill it: argv[2] is its root, argv[3] its CriConfig. Prints "ready" once it serves.
import { flushCompileCache } from "node:module";
import { createLogger, layoutOf } from "@tripod/base";
import type { CriConfig } from "../cri-config.ts";
import { startCri } from "../start-cri.ts";
import { testPlugins } from "./test-plugins.ts";

const layout = layoutOf(process.argv[2]);
const config = JSON.parse(process.argv[3] ?? "{}") as CriConfig; // written by the test that started us
await startCri({ layout, log: createLogger("cri", { level: "warn" }), cniPlugins: testPlugins, config });
process.stdout.write("ready\n");
flushCompileCache(); // it is never left time for it at its end
