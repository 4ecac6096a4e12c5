import { spawnSync } from "node:child_process";
import { describe } from "node:test";
import { debianProgram, debianPrograms, interop, peer } from "@tripod/testing";
import { checkpointSuite } from "../testing/checkpoint-suite.ts";
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

const newer = debianProgram(debianPrograms.runsc);
const fetched = "path" in newer ? "runsc 0.0~20240729" : "runsc (not fetched)";

describe(interop({ interface: "OCI runtime", caller: "Tripod's checkpoint contract", callee: fetched }), {
  skip: "skip" in newer ? newer.skip : false,
}, () => {
  const runtime = "path" in newer ? newer.path : "runsc";
  // Its own checkpoints know nothing of the host's sockets.
  const network = ["--network=none"];
  checkpointSuite("runsc", (folders) => new RuncRuntime({ ...folders, name: "runsc", runtime, arguments: network }));
});
