import { lowLevelRuntimeSuite } from "../testing/low-level-runtime-suite.ts";
import { RuncRuntime } from "./runc-runtime.ts";

lowLevelRuntimeSuite("runc", (folders) => new RuncRuntime(folders));
