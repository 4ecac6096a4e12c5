import { describe } from "node:test";
import { interop, peer } from "@tripod/testing";
import { lowLevelRuntimeSuite } from "../testing/low-level-runtime-suite.ts";
import { RuncRuntime } from "./runc-runtime.ts";

const callee = `${peer("runc")} under ${peer("conmon")}`;

describe(interop({ interface: "OCI runtime", caller: "Tripod's runtime contract", callee }), () => {
  lowLevelRuntimeSuite("runc", (folders) => new RuncRuntime(folders));
});
