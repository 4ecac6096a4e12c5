/** The parts of the OCI runtime specification's config.json (1.0.2) that Tripod writes; field names are the specification's. */
export interface RuntimeSpec {
  readonly ociVersion: string;
  readonly process: ProcessSpec;
  readonly root: { readonly path: string; readonly readonly: boolean };
  readonly hostname?: string;
  readonly mounts: readonly MountSpec[];
  readonly annotations: Readonly<Record<string, string>>;
  readonly hooks?: Readonly<Partial<Record<HookName, readonly HookSpec[]>>>;
  readonly linux: LinuxSpec;
}

export const hookNames = [
  "prestart",
  "createRuntime",
  "createContainer",
  "startContainer",
  "poststart",
  "poststop",
] as const;
export type HookName = (typeof hookNames)[number];

/** A program of the host that the low-level runtime runs at a moment of the container's life. */
export interface HookSpec {
  readonly path: string;
  readonly args?: readonly string[];
  readonly env?: readonly string[];
  /** Seconds. */
  readonly timeout?: number;
}

/** `process` of config.json; also the whole of the file that `runc exec --process` reads. */
export interface ProcessSpec {
  readonly terminal: boolean;
  readonly user: UserSpec;
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly cwd: string;
  readonly capabilities: CapabilitiesSpec;
  readonly rlimits?: readonly RlimitSpec[];
  readonly noNewPrivileges: boolean;
  readonly oomScoreAdj?: number;
  readonly apparmorProfile?: string;
  readonly selinuxLabel?: string;
}

export interface UserSpec {
  readonly uid: number;
  readonly gid: number;
  readonly additionalGids?: readonly number[];
}

export interface CapabilitiesSpec {
  readonly bounding: readonly string[];
  readonly effective: readonly string[];
  readonly permitted: readonly string[];
  readonly inheritable: readonly string[];
  readonly ambient: readonly string[];
}

export interface RlimitSpec {
  /** RLIMIT_NOFILE and the like. */
  readonly type: string;
  readonly soft: number;
  readonly hard: number;
}

export interface MountSpec {
  readonly destination: string;
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

export interface NamespaceSpec {
  readonly type: "pid" | "network" | "mount" | "ipc" | "uts" | "user" | "cgroup";
  /** Joins this one; a new one is made without it. */
  readonly path?: string;
}

export interface DeviceSpec {
  readonly path: string;
  readonly type: "b" | "c" | "u" | "p";
  readonly major: number;
  readonly minor: number;
  readonly fileMode?: number;
  readonly uid?: number;
  readonly gid?: number;
}

export interface DeviceRule {
  readonly allow: boolean;
  readonly type?: "a" | "b" | "c";
  readonly major?: number;
  readonly minor?: number;
  readonly access: string;
}

export interface IdMappingSpec {
  readonly containerID: number;
  readonly hostID: number;
  readonly size: number;
}

export interface LinuxSpec {
  readonly namespaces: readonly NamespaceSpec[];
  /** Those of the user namespace. */
  readonly uidMappings?: readonly IdMappingSpec[];
  readonly gidMappings?: readonly IdMappingSpec[];
  readonly cgroupsPath: string;
  readonly resources: ResourcesSpec;
  readonly devices: readonly DeviceSpec[];
  readonly maskedPaths: readonly string[];
  readonly readonlyPaths: readonly string[];
  readonly sysctl: Readonly<Record<string, string>>;
  readonly rootfsPropagation?: string;
  readonly seccomp?: SeccompSpec;
  /** SELinux context of what the runtime mounts. */
  readonly mountLabel?: string;
  readonly intelRdt?: {
    readonly closID?: string | undefined;
    readonly l3CacheSchema?: string | undefined;
    readonly memBwSchema?: string | undefined;
    readonly schemata?: readonly string[];
    readonly enableMonitoring?: boolean | undefined;
  };
}

/** `linux.resources`; numbers are bytes, microseconds or shares as the specification says. */
export interface ResourcesSpec {
  readonly devices?: readonly DeviceRule[];
  readonly memory?: { readonly limit?: number; readonly swap?: number };
  readonly cpu?: {
    readonly shares?: number;
    readonly quota?: number;
    readonly period?: number;
    readonly cpus?: string;
    readonly mems?: string;
  };
  readonly pids?: { readonly limit: number };
  readonly hugepageLimits?: readonly { readonly pageSize: string; readonly limit: number }[];
  readonly unified?: Readonly<Record<string, string>>;
}

/** `linux.seccomp`. */
export interface SeccompSpec {
  readonly defaultAction: string;
  readonly defaultErrnoRet?: number;
  readonly architectures?: readonly string[];
  readonly flags?: readonly string[];
  /** The socket of whoever decides SCMP_ACT_NOTIFY. */
  readonly listenerPath?: string;
  readonly listenerMetadata?: string;
  readonly syscalls: readonly SeccompRule[];
}

export interface SeccompRule {
  readonly names: readonly string[];
  readonly action: string;
  readonly errnoRet?: number;
  readonly args?: readonly {
    readonly index: number;
    readonly value: number;
    readonly valueTwo?: number;
    readonly op: string;
  }[];
}
