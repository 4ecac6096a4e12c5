import { spawnSync } from "node:child_process";
import { describe } from "node:test";
import { interop, peer } from "@tripod/testing";
import { lowLevelRuntimeSuite } from "../testing/low-level-runtime-suite.ts";
import { RuncRuntime } from "./runc-runtime.ts";

const callee = `${peer("runsc")} under ${peer("conmon")}`;
const subcommands = spawnSync("runsc", ["help"], { encoding: "utf8" }).stdout;

describe(interop({ interface: "OCI runtime", caller: "Tripod's runtime contract", callee }), () => {
  lowLevelRuntimeSuite(
    "runsc",
    (folders) => new RuncRuntime({ ...folders, name: "runsc", runtime: "runsc", arguments: ["--network=host"] }),
    {
      sharesKernel: false,
      rounds: 2, // each boots a kernel
      cannotUpdate: /^\s+update\b/m.test(subcommands) ? undefined : "`runsc help` names no `update` command",
    },
  );
});
