import * as v from "valibot";
import { int64, oneOf, stringMap, uint16, uint32, uint64 } from "./spec-values.ts";

const blockDevice = { major: int64, minor: int64 };
const throttles = v.exactOptional(v.array(v.object({ ...blockDevice, rate: v.exactOptional(uint64) })));

/** `linux.resources` of config.json. Specification: config-linux.md, "Control groups". */
export const resourcesSchema = v.object({
  unified: v.exactOptional(stringMap),
  devices: v.exactOptional(
    v.array(
      v.object({
        allow: v.boolean(),
        type: v.exactOptional(oneOf(["a", "b", "c"])),
        major: v.exactOptional(int64),
        minor: v.exactOptional(int64),
        access: v.exactOptional(v.pipe(v.string(), v.regex(/^[rwm]*$/, "must be made of r, w and m"))),
      }),
    ),
  ),
  pids: v.exactOptional(v.object({ limit: int64 })),
  memory: v.exactOptional(
    v.object({
      limit: v.exactOptional(int64),
      reservation: v.exactOptional(int64),
      swap: v.exactOptional(int64),
      kernel: v.exactOptional(int64),
      kernelTCP: v.exactOptional(int64),
      swappiness: v.exactOptional(uint64),
      disableOOMKiller: v.exactOptional(v.boolean()),
      useHierarchy: v.exactOptional(v.boolean()),
      checkBeforeUpdate: v.exactOptional(v.boolean()),
    }),
  ),
  cpu: v.exactOptional(
    v.object({
      shares: v.exactOptional(uint64),
      quota: v.exactOptional(int64),
      burst: v.exactOptional(uint64),
      period: v.exactOptional(uint64),
      realtimeRuntime: v.exactOptional(int64),
      realtimePeriod: v.exactOptional(uint64),
      cpus: v.exactOptional(v.string()),
      mems: v.exactOptional(v.string()),
      idle: v.exactOptional(int64),
    }),
  ),
  blockIO: v.exactOptional(
    v.object({
      weight: v.exactOptional(uint16),
      leafWeight: v.exactOptional(uint16),
      weightDevice: v.exactOptional(
        v.array(
          v.pipe(
            v.object({ ...blockDevice, weight: v.exactOptional(uint16), leafWeight: v.exactOptional(uint16) }),
            v.check(
              ({ weight, leafWeight }) => weight !== undefined || leafWeight !== undefined,
              "must have weight or leafWeight",
            ),
          ),
        ),
      ),
      throttleReadBpsDevice: throttles,
      throttleWriteBpsDevice: throttles,
      throttleReadIOPSDevice: throttles,
      throttleWriteIOPSDevice: throttles,
    }),
  ),
  hugepageLimits: v.exactOptional(
    v.array(
      v.object({
        pageSize: v.pipe(v.string(), v.regex(/^[1-9][0-9]*[KMG]B$/, 'must be a size, "2MB" and the like')),
        limit: uint64,
      }),
    ),
  ),
  network: v.exactOptional(
    v.object({
      classID: v.exactOptional(uint32),
      priorities: v.exactOptional(v.array(v.object({ name: v.string(), priority: uint32 }))),
    }),
  ),
  rdma: v.exactOptional(
    v.record(
      v.string(),
      v.pipe(
        v.object({ hcaHandles: v.exactOptional(uint32), hcaObjects: v.exactOptional(uint32) }),
        v.check(
          ({ hcaHandles, hcaObjects }) => hcaHandles !== undefined || hcaObjects !== undefined,
          "must have hcaHandles or hcaObjects",
        ),
      ),
    ),
  ),
});
