import type { CgroupDriverName } from "./runtime/cgroup-driver.ts";
import type { MetricGroup } from "./stats/metrics/descriptors.ts";

/** What an operator may set; everything has a default. */
export interface CriConfig {
  /** The handler for requests that name none; "runc" unless told. */
  readonly defaultHandler?: string;
  /** Runtime handlers by name, each a program that keeps runc's command line; { runc: "runc" } unless told. */
  readonly handlers?: Readonly<Record<string, { readonly program: string }>>;
  /** The supervisor; "conmon" unless told. */
  readonly conmon?: string;
  /** The init of shared PID namespaces; "/usr/bin/catatonit" unless told. */
  readonly initProgram?: string;
  /** The address that exec, attach and port-forward URLs point to; 127.0.0.1 unless told. */
  readonly streamingAddress?: string;
  /** Where relative Localhost seccomp profiles are looked up; <kubelet folder>/seccomp unless told. */
  readonly seccompProfileRoot?: string;
  /** Size of a sandbox's /dev/shm in bytes; 64 MiB unless told. */
  readonly shmSizeBytes?: number;
  /** Who makes cgroups, which a kubelet has to agree with and asks for (RuntimeConfig); "cgroupfs" unless told. */
  readonly cgroupDriver?: CgroupDriverName;
  /** The metrics that ListPodSandboxMetrics collects; all unless told. */
  readonly metrics?: readonly MetricGroup[];
  /** Told the Pod range that the kubelet was given (UpdateRuntimeConfig). */
  readonly onPodCidr?: (podCidr: string) => void;
}
