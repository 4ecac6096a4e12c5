import { readFileSync } from "node:fs";
import { type Layout, TripodError } from "@tripod/base";
import { isRlimit, isWritableLimit, snapshotterKinds } from "@tripod/oci";
import { lazyStarts, metricGroups } from "@tripod/cri";
import * as v from "valibot";
import { parseDocument } from "yaml";

const strings = v.array(v.string());
const absolutePath = v.pipe(v.string(), v.startsWith("/", "must be absolute"));
const milliseconds = v.pipe(v.number(), v.safeInteger(), v.minValue(1), v.maxValue(600_000));
const limit = v.union(
  [v.pipe(v.number(), v.safeInteger(), v.minValue(0)), v.literal("unlimited")],
  'must be a whole number or "unlimited"',
);
/** By the names of getrlimit(2), in any of their spellings. */
const rlimits = v.record(
  v.pipe(
    v.string(),
    v.check(isRlimit, ({ input }) => `${input} is no limit of Linux`),
  ),
  v.pipe(
    v.strictObject({ soft: limit, hard: limit }),
    v.check(
      ({ soft, hard }) => hard === "unlimited" || (soft !== "unlimited" && soft <= hard),
      "the soft limit is above the hard one",
    ),
  ),
);

/** A runtime handler, as `HandlerConfig` of @tripod/cri explains. */
const handler = v.strictObject({
  program: v.exactOptional(v.string()),
  kind: v.exactOptional(v.picklist(["conmon", "shim"])),
  configPath: v.exactOptional(v.string()),
  arguments: v.exactOptional(strings),
  podAnnotations: v.exactOptional(strings),
  containerAnnotations: v.exactOptional(strings),
  privilegedHostDevices: v.exactOptional(v.picklist(["all", "allowed", "none"])),
  cgroupWritable: v.exactOptional(v.boolean()),
  defaultRlimits: v.exactOptional(rlimits),
});

const port = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(65535));

/** What `etc/config.yaml` may say. Every key has a default, so that no file is as good as an empty one. */
const configSchema = v.strictObject({
  /** debug, info, warn or error. */
  logLevel: v.optional(v.picklist(["debug", "info", "warn", "error"]), "info"),
  /** The Node's name; the host's name when absent. */
  nodeName: v.optional(
    v.pipe(v.string(), v.regex(/^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/, "must be a DNS name in lower case")),
  ),
  cri: v.optional(
    v.strictObject({
      /** The handler of Pods without a RuntimeClass; "runc" when absent. */
      defaultHandler: v.exactOptional(v.string()),
      /** Who makes cgroups; kubelets ask for it. "cgroupfs" when absent, "systemd" only where that is init. */
      cgroupDriver: v.exactOptional(v.picklist(["cgroupfs", "systemd"])),
      /** The groups of metrics that are collected for a kubelet; all when absent. */
      metrics: v.exactOptional(v.array(v.picklist(metricGroups))),
      /** By the names that RuntimeClasses use, beside "runc"; `null` is a handler that says nothing. */
      handlers: v.exactOptional(
        v.record(
          v.string(),
          v.pipe(
            v.nullable(handler),
            v.transform((given) => given ?? {}),
          ),
        ),
      ),
      /** What checkpoints containers for runc and crun, by its path or to be found; "criu" when absent. */
      criu: v.exactOptional(v.string()),
      /** Whether containers may be made of checkpoints, which are to be trusted like privileged Pods; they may not when absent. */
      restoreCheckpoints: v.exactOptional(v.boolean()),
      /** Resource limits of every container, "nofile: {soft: 1024, hard: 524288}"; the daemon's own when absent. */
      defaultRlimits: v.exactOptional(rlimits),
      /** Whether Pods may set limits by the annotation rlimits.tripod.dev; they may not when absent. */
      allowRlimitsAnnotation: v.exactOptional(v.boolean()),
      /** How much of each container's log is kept, where no kubelet does it; all of it when absent. */
      logLimit: v.exactOptional(
        v.strictObject({
          maxSizeBytes: v.pipe(v.number(), v.safeInteger(), v.minValue(4096)),
          maxFiles: v.exactOptional(v.pipe(v.number(), v.safeInteger(), v.minValue(1), v.maxValue(1000))),
        }),
      ),
      /** How layers become root file systems; "overlay" when absent. */
      snapshotter: v.exactOptional(v.picklist(snapshotterKinds)),
      /** Which images start containers before they are whole: none, those of Pods that ask by annotation, all; none when absent. */
      lazyStart: v.exactOptional(v.picklist(lazyStarts)),
      /** What containers may write into their root file systems; without bounds when absent. */
      writableLayer: v.exactOptional(
        v.strictObject({
          /** In bytes, of every container; from 1 MiB to 15 TiB. */
          maxSizeBytes: v.exactOptional(
            v.pipe(v.number(), v.check(isWritableLimit, "must be whole, from 1 MiB to 15 TiB")),
          ),
          /** Whether Pods may set limits of their own by the annotation max-size.storage.tripod.dev; they may not when absent. */
          allowAnnotation: v.exactOptional(v.boolean()),
        }),
      ),
      /** Folders of CDI spec files; /etc/cdi and /var/run/cdi when absent, below a root etc/cdi and run/cdi. */
      cdiSpecDirs: v.exactOptional(v.array(absolutePath)),
      /** Whether containers get SELinux contexts where the kernel has SELinux; they do not when absent. */
      selinux: v.exactOptional(v.boolean()),
      /** NRI plugins: where they connect, and where those are that start with the node. */
      nri: v.exactOptional(
        v.strictObject({
          socket: v.exactOptional(absolutePath),
          pluginDir: v.exactOptional(absolutePath),
          pluginConfigDir: v.exactOptional(absolutePath),
          registrationTimeoutMs: v.exactOptional(milliseconds),
          requestTimeoutMs: v.exactOptional(milliseconds),
          disable: v.exactOptional(v.boolean()),
        }),
      ),
    }),
    {},
  ),
  apiserver: v.optional(
    v.strictObject({
      /** The port on 127.0.0.1. When absent: the one used before, else 6443, else any free one. */
      port: v.optional(port),
    }),
    {},
  ),
  storage: v.optional(
    v.strictObject({
      /** Driver by the cloud's driver that it stands in for where that is not installed; loop.csi.tripod.dev for each when absent. */
      standIns: v.exactOptional(v.record(v.string(), v.string())),
    }),
    {},
  ),
  network: v.optional(
    v.strictObject({
      /** The Pods' subnet, a.b.c.d/n. When absent: the one used before, else a free /24 of 10.244.0.0/16. */
      podCidr: v.optional(
        v.pipe(v.string(), v.regex(/^\d{1,3}(\.\d{1,3}){3}\/\d{1,2}$/, "must be an IPv4 subnet like 10.244.0.0/24")),
      ),
    }),
    {},
  ),
});

export type Config = v.InferOutput<typeof configSchema>;

/** Reads the configuration; a wrong one is an "invalid" error that names file, line and key. */
export function loadConfig(layout: Layout): Config {
  let text: string;
  try {
    text = readFileSync(layout.configFile, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return v.parse(configSchema, {}); // fs throws ErrnoExceptions
    throw new TripodError("invalid", `read ${layout.configFile}: ${(cause as Error).message}`, { cause });
  }
  const document = parseDocument(text);
  const [problem] = document.errors;
  if (problem !== undefined)
    throw new TripodError(
      "invalid",
      `${layout.configFile}:${problem.linePos?.[0].line ?? 1}: ${problem.message.split("\n")[0]}`,
    );
  const parsed = v.safeParse(configSchema, document.toJS() ?? {});
  if (parsed.success) return parsed.output;
  const issues = parsed.issues.map((issue) => {
    const why = issue.expected === "never" ? "there is no such setting" : issue.message;
    return `${v.getDotPath(issue) ?? "(top level)"}: ${why}`;
  });
  throw new TripodError("invalid", `${layout.configFile}: ${issues.join("; ")}`);
}
