import * as v from "valibot";
import { resourcesSchema } from "./resources-schema.ts";
import { seccompSchema } from "./seccomp-schema.ts";
import { absolutePath, between, idMappings, int64, oneOf, stringMap, strings, uint32 } from "./spec-values.ts";

const line = v.pipe(v.string(), v.regex(/^[^\n]*$/, "must be a single line"));

const timeOffset = v.exactOptional(v.object({ secs: v.exactOptional(int64), nanosecs: v.exactOptional(uint32) }));

/** `linux` of config.json. Specification: config-linux.md. */
export const linuxSchema = v.object({
  namespaces: v.exactOptional(
    v.array(
      v.object({
        type: oneOf(["mount", "pid", "network", "uts", "ipc", "user", "cgroup", "time"]),
        path: v.exactOptional(absolutePath),
      }),
    ),
  ),
  uidMappings: v.exactOptional(idMappings),
  gidMappings: v.exactOptional(idMappings),
  timeOffsets: v.exactOptional(v.object({ boottime: timeOffset, monotonic: timeOffset })),
  devices: v.exactOptional(
    v.array(
      v.pipe(
        v.object({
          type: oneOf(["c", "b", "u", "p"]),
          path: absolutePath,
          major: v.exactOptional(int64),
          minor: v.exactOptional(int64),
          // 07777 in decimal; the schema stops at 0777, the prose and runtimes do not.
          fileMode: v.exactOptional(between(0, 0o7777)),
          uid: v.exactOptional(uint32),
          gid: v.exactOptional(uint32),
        }),
        v.check(
          ({ type, major, minor }) => type === "p" || (major !== undefined && minor !== undefined),
          "must have major and minor, as all but pipes do",
        ),
      ),
    ),
  ),
  netDevices: v.exactOptional(v.record(v.string(), v.object({ name: v.exactOptional(v.string()) }))),
  cgroupsPath: v.exactOptional(v.string()),
  resources: v.exactOptional(resourcesSchema),
  // The specification has the words without r; runc and crun take both, and containerd, too, writes those with it.
  rootfsPropagation: v.exactOptional(
    oneOf(["private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable", "runbindable"]),
  ),
  seccomp: v.exactOptional(seccompSchema),
  sysctl: v.exactOptional(stringMap),
  maskedPaths: v.exactOptional(v.array(absolutePath)),
  readonlyPaths: v.exactOptional(v.array(absolutePath)),
  mountLabel: v.exactOptional(v.string()),
  intelRdt: v.exactOptional(
    v.object({
      closID: v.exactOptional(v.string()),
      schemata: v.exactOptional(v.array(line)),
      l3CacheSchema: v.exactOptional(line),
      memBwSchema: v.exactOptional(v.pipe(v.string(), v.regex(/^MB:[^\n]*$/, 'must be a line that starts with "MB:"'))),
      enableMonitoring: v.exactOptional(v.boolean()),
    }),
  ),
  memoryPolicy: v.exactOptional(
    v.object({
      mode: v.exactOptional(
        oneOf([
          "MPOL_DEFAULT",
          "MPOL_BIND",
          "MPOL_INTERLEAVE",
          "MPOL_WEIGHTED_INTERLEAVE",
          "MPOL_PREFERRED",
          "MPOL_PREFERRED_MANY",
          "MPOL_LOCAL",
        ]),
      ),
      nodes: v.exactOptional(v.string()),
      flags: v.exactOptional(v.array(oneOf(["MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"]))),
    }),
  ),
  personality: v.exactOptional(
    v.object({ domain: v.exactOptional(oneOf(["LINUX", "LINUX32"])), flags: v.exactOptional(strings) }),
  ),
});
