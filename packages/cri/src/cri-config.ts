import type { NriConfig } from "./nri/nri-config.ts";
import type { LogLimit } from "./container/log-limit.ts";
import type { CgroupDriverName } from "./runtime/cgroup-driver.ts";
import type { Handlers } from "./runtime/handler-config.ts";
import type { MetricGroup } from "./stats/metrics/descriptors.ts";
import type { RlimitRequest, SnapshotterKind } from "@tripod/oci";

/** A container's root file system is limited by the Pod's annotation, else by the default. */
export interface WritableLayerConfig {
  /** Of every container, in bytes, at least 1 MiB; no limit unless told. */
  readonly maxSizeBytes?: number;
  /** Whether Pods may set limits of their own by the annotation max-size.storage.tripod.dev[/CONTAINER], "100Mi"; false unless told. */
  readonly allowAnnotation?: boolean;
}

/**
 * Which images are pulled so that containers start before they are whole: none; those of Pods with the annotation lazy-start.tripod.dev: "true";
 * all but those of Pods where it is "false". The annotation of whoever has the image pulled counts.
 */
export const lazyStarts = ["off", "annotation", "on"] as const;
export type LazyStart = (typeof lazyStarts)[number];

/** What an operator may set; everything has a default. */
export interface CriConfig {
  /** The handler for requests that name none; "runc" unless told. */
  readonly defaultHandler?: string;
  /** Runtime handlers by name, beside "runc", which is there unless it is told otherwise. */
  readonly handlers?: Handlers;
  /** The supervisor; "conmon" unless told. */
  readonly conmon?: string;
  /** What checkpoints containers for runc and crun; "criu" unless told. */
  readonly criu?: string;
  /**
   * Whether containers may be made of checkpoints; false unless told. A checkpoint says with which user, capabilities and filters its
   * processes run, whatever the Pod says, so that it is to be trusted like a privileged Pod.
   */
  readonly restoreCheckpoints?: boolean;
  /** The init of shared PID namespaces; "/usr/bin/catatonit" unless told. */
  readonly initProgram?: string;
  /** The address that exec, attach and port-forward URLs point to; 127.0.0.1 unless told. */
  readonly streamingAddress?: string;
  /** Where relative Localhost seccomp profiles are looked up; <kubelet folder>/seccomp unless told. */
  readonly seccompProfileRoot?: string;
  /** Folders of CDI spec files, later ones go first; <etc>/cdi and <run>/cdi unless told (/etc/cdi, /var/run/cdi without a root). */
  readonly cdiSpecDirs?: readonly string[];
  /** Resource limits of every container, { nofile: { soft: 1024, hard: 524288 } }; the daemon's own unless told. */
  readonly defaultRlimits?: RlimitRequest;
  /** Whether Pods may set limits by the annotation rlimits.tripod.dev[/CONTAINER], "nofile=1024:4096"; false unless told. */
  readonly allowRlimitsAnnotation?: boolean;
  /** How layers become root file systems; "overlay" unless told. Containers that are there keep theirs when it changes. */
  readonly snapshotter?: SnapshotterKind;
  /** Which images may start containers before they are whole; "off" unless told. */
  readonly lazyStart?: LazyStart;
  /** How much containers may write into their root file systems. */
  readonly writableLayer?: WritableLayerConfig;
  /** Whether containers get SELinux contexts where the kernel has SELinux; false unless told. */
  readonly selinux?: boolean;
  /** How much of each container's log is kept; all of it unless told. In force for containers created from then on. */
  readonly logLimit?: LogLimit;
  /** Size of a sandbox's /dev/shm in bytes; 64 MiB unless told. */
  readonly shmSizeBytes?: number;
  /** Who makes cgroups, which a kubelet has to agree with and asks for (RuntimeConfig); "cgroupfs" unless told. */
  readonly cgroupDriver?: CgroupDriverName;
  /** The metrics that ListPodSandboxMetrics collects; all unless told. */
  readonly metrics?: readonly MetricGroup[];
  /** Plugins over the node resource interface; without a socket and plugins when disabled. */
  readonly nri?: NriConfig;
  /** Told the Pod range that the kubelet was given (UpdateRuntimeConfig). */
  readonly onPodCidr?: (podCidr: string) => void;
}
