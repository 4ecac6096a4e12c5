import { after, describe } from "node:test";
import { createLogger, TaskOwner } from "@tripod/base";
import { interop, peer } from "@tripod/testing";
import { lowLevelRuntimeSuite } from "../testing/low-level-runtime-suite.ts";
import { ShimRuntime } from "./shim-runtime.ts";

const callee = `containerd-shim-runc-v2 of ${peer("containerd")}`;
const tasks = new TaskOwner("shim", createLogger("shim", { level: "error" }));
after(() => tasks.stop());

describe(interop({ interface: "shim v2", caller: "Tripod's runtime contract", callee }), () => {
  lowLevelRuntimeSuite(
    "shim",
    (folders) => new ShimRuntime({ ...folders, name: "shim-test", shim: "containerd-shim-runc-v2", tasks }),
    { rounds: 3 },
  );
});
