import { fromJson, type JsonObject, type JsonValue, toJson } from "@bufbuild/protobuf";
import { type ContainerConfig, ContainerConfigSchema, type ContainerMetadata } from "@tripod/api/cri";
import { TripodError } from "@tripod/base";
import type { Resource } from "./resource-store.ts";

/**
 * Where a container is in its life. "making" and "removing" are undone, or finished, after a crash; whether a "starting" one has been
 * started, and whether a created or running one lives, the kernel says.
 */
export type ContainerPhase = "making" | "created" | "starting" | "running" | "exited" | "removing";

export interface ContainerExit {
  /** 0 to 255; 128 + signal number when a signal ended it. */
  readonly code: number;
  readonly reason: "Completed" | "Error" | "OOMKilled" | "ContainerStatusUnknown";
  readonly message: string;
  readonly finishedAtNs: string;
}

/** A process that stays the same one as long as its start time does. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks since boot, from /proc/PID/stat. */
  readonly startTime: string;
}

export interface ContainerRecord extends Resource {
  readonly phase: ContainerPhase;
  readonly sandboxId: string;
  /** The ContainerConfig as it came, in protobuf's JSON. */
  readonly config: JsonValue;
  readonly handler: string;
  readonly imageId: string;
  /** What the user called the image: kubelets ask for it by id. */
  readonly imageName: string;
  /** How the image is shown: a repository digest when it has one, else its id. */
  readonly imageRef: string;
  /** Ids of the images that are mounted as volumes, by the names that they were asked for by. */
  readonly volumeImages?: Readonly<Record<string, string>>;
  readonly cgroupsPath: string;
  readonly logPath: string;
  /** The number that ends it politely. */
  readonly stopSignal: number;
  /** Nanoseconds since 1970, decimal. */
  readonly createdAtNs: string;
  readonly startedAtNs?: string;
  readonly user?: { readonly uid: number; readonly gid: number; readonly groups: readonly number[] };
  readonly init?: ProcessIdentity;
  readonly supervisor?: ProcessIdentity;
  /** How many processes of the Pod the kernel had killed for want of memory when the container was started. */
  readonly podOomKills?: number;
  readonly exit?: ContainerExit;
  /** It was made of a checkpoint: its start is that one's restoration. */
  readonly restore?: { readonly checkpointedAt: string };
}

export const encodeContainerConfig = (config: ContainerConfig): JsonValue => toJson(ContainerConfigSchema, config);

const decoded = new WeakMap<object, ContainerConfig>();

/** The record's configuration as a message, decoded once. */
export function containerConfigOf(record: ContainerRecord): ContainerConfig {
  const json = record.config as JsonObject; // a message is an object in protobuf's JSON
  let config = decoded.get(json);
  if (config === undefined) {
    config = fromJson(ContainerConfigSchema, json, { ignoreUnknownFields: true });
    decoded.set(json, config);
  }
  return config;
}

/** The metadata, which CreateContainer insists on. */
export function containerMetadata(config: ContainerConfig | undefined): ContainerMetadata {
  const metadata = config?.metadata;
  if (metadata === undefined || metadata.name === "") {
    throw new TripodError("invalid", "container: metadata needs a name");
  }
  return metadata;
}

export const containerName = (sandboxId: string, { name, attempt }: ContainerMetadata): string =>
  [sandboxId, name, attempt].join("/");
