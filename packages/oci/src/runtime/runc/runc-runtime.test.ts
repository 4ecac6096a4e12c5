import { describe } from "node:test";
import { debianProgram, debianPrograms, interop, peer } from "@tripod/testing";
import { checkpointSuite } from "../testing/checkpoint-suite.ts";
import { lowLevelRuntimeSuite } from "../testing/low-level-runtime-suite.ts";
import { RuncRuntime } from "./runc-runtime.ts";

const callee = `${peer("runc")} under ${peer("conmon")}`;

const criu = debianProgram(debianPrograms.criu);

describe(interop({ interface: "OCI runtime", caller: "Tripod's runtime contract", callee }), () => {
  lowLevelRuntimeSuite("runc", (folders) => new RuncRuntime(folders));
});

const freezer = `${callee}, with criu${"path" in criu ? " of Debian 13" : ""}`;

describe(interop({ interface: "OCI runtime", caller: "Tripod's checkpoint contract", callee: freezer }), () => {
  // Without the newer one whichever this machine has says why it cannot, if so.
  const program = "path" in criu ? criu.path : "criu";
  checkpointSuite("runc", (folders) => new RuncRuntime({ ...folders, criu: program }));
});
