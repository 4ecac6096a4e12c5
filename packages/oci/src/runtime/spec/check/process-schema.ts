import * as v from "valibot";
import { absolutePath, between, int32, oneOf, strings, uint32, uint64 } from "./spec-values.ts";

const capabilities = v.array(
  v.pipe(v.string(), v.regex(/^CAP_[A-Z_]+$/, 'must be a capability, "CAP_CHOWN" and the like')),
);

const cpuList = v.pipe(v.string(), v.regex(/^[0-9, -]*$/, 'must be a list of CPUs, "0-3,7"'));

/** `process` of config.json. Specification: config.md, "Process". */
export const processSchema = v.object({
  terminal: v.exactOptional(v.boolean()),
  consoleSize: v.exactOptional(v.object({ height: uint64, width: uint64 })),
  cwd: absolutePath,
  env: v.exactOptional(strings),
  args: v.exactOptional(v.pipe(strings, v.nonEmpty("must name a program"))),
  commandLine: v.exactOptional(v.string()),
  user: v.exactOptional(
    v.object({
      uid: v.exactOptional(uint32),
      gid: v.exactOptional(uint32),
      umask: v.exactOptional(uint32),
      additionalGids: v.exactOptional(v.array(uint32)),
      username: v.exactOptional(v.string()),
    }),
  ),
  capabilities: v.exactOptional(
    v.object({
      bounding: v.exactOptional(capabilities),
      permitted: v.exactOptional(capabilities),
      effective: v.exactOptional(capabilities),
      inheritable: v.exactOptional(capabilities),
      ambient: v.exactOptional(capabilities),
    }),
  ),
  rlimits: v.exactOptional(
    v.array(
      v.object({
        type: v.pipe(v.string(), v.regex(/^RLIMIT_[A-Z]+$/, 'must be a limit, "RLIMIT_NOFILE" and the like')),
        soft: uint64,
        hard: uint64,
      }),
    ),
  ),
  apparmorProfile: v.exactOptional(v.string()),
  selinuxLabel: v.exactOptional(v.string()),
  noNewPrivileges: v.exactOptional(v.boolean()),
  /** The kernel's range; the schema asks for any whole number. */
  oomScoreAdj: v.exactOptional(between(-1000, 1000)),
  ioPriority: v.exactOptional(
    v.object({
      class: oneOf(["IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"]),
      priority: v.exactOptional(int32),
    }),
  ),
  scheduler: v.exactOptional(
    v.object({
      policy: oneOf([
        "SCHED_OTHER",
        "SCHED_FIFO",
        "SCHED_RR",
        "SCHED_BATCH",
        "SCHED_ISO",
        "SCHED_IDLE",
        "SCHED_DEADLINE",
      ]),
      nice: v.exactOptional(int32),
      priority: v.exactOptional(int32),
      flags: v.exactOptional(
        v.array(
          oneOf([
            "SCHED_FLAG_RESET_ON_FORK",
            "SCHED_FLAG_RECLAIM",
            "SCHED_FLAG_DL_OVERRUN",
            "SCHED_FLAG_KEEP_POLICY",
            "SCHED_FLAG_KEEP_PARAMS",
            "SCHED_FLAG_UTIL_CLAMP_MIN",
            "SCHED_FLAG_UTIL_CLAMP_MAX",
          ]),
        ),
      ),
      runtime: v.exactOptional(uint64),
      deadline: v.exactOptional(uint64),
      period: v.exactOptional(uint64),
    }),
  ),
  execCPUAffinity: v.exactOptional(v.object({ initial: v.exactOptional(cpuList), final: v.exactOptional(cpuList) })),
});
