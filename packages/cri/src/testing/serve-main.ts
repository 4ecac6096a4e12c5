// A CRI server in a process of its own, for tests that kill it: argv[2] is its root. Prints "ready" once it serves.
import { flushCompileCache } from "node:module";
import { createLogger, layoutOf } from "@tripod/base";
import { startCri } from "../start-cri.ts";
import { testPlugins } from "./test-plugins.ts";

const layout = layoutOf(process.argv[2]);
await startCri({ layout, log: createLogger("cri", { level: "warn" }), cniPlugins: testPlugins });
process.stdout.write("ready\n");
flushCompileCache(); // it is never left time for it at its end
