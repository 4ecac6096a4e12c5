import { after, describe } from "node:test";
import { crunProgram, interop, peer } from "@tripod/testing";
import { lowLevelRuntimeSuite } from "../testing/low-level-runtime-suite.ts";
import { RuncRuntime } from "./runc-runtime.ts";

const callee = `${peer("crun")} under ${peer("conmon")}`;
const crun = crunProgram();
after(() => crun[Symbol.dispose]());

describe(interop({ interface: "OCI runtime", caller: "Tripod's runtime contract", callee }), () => {
  lowLevelRuntimeSuite("crun", (folders) => new RuncRuntime({ ...folders, name: "crun", runtime: crun.path }), {
    rounds: 3,
  });
});
