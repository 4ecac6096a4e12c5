import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { RuntimeSpec } from "@tripod/oci";
import { bundleOf, type CriContext } from "../context.ts";
import { containerConfigOf, type ContainerRecord } from "../records/container-record.ts";
import { sandboxConfigOf } from "../records/sandbox-record.ts";

/**
 * The names in a checkpoint's archive, which CRI-O, containerd and podman share (github.com/checkpoint-restore/checkpointctl,
 * lib/metadata.go).
 */
export const archiveNames = {
  images: "checkpoint",
  config: "config.dump",
  spec: "spec.dump",
  rootfsDiff: "rootfs-diff.tar",
  deletedFiles: "deleted.files",
  log: "container.log",
  dumpLog: "dump.log",
} as const;

/** config.dump: which container of which image was checkpointed when. Times in RFC 3339. */
export interface ConfigDump {
  readonly id: string;
  readonly name: string;
  readonly rootfsImage: string;
  readonly rootfsImageRef: string;
  readonly rootfsImageName: string;
  readonly runtime: string;
  readonly createdTime: string;
  readonly checkpointedTime: string;
  readonly restoredTime: string;
  readonly restored: boolean;
}

const isoOf = (atNs: string): string => new Date(Number(BigInt(atNs) / 1_000_000n)).toISOString();

/** Go's zero time, which readers of these files take for "never". */
const never = "0001-01-01T00:00:00Z";

/** What config.dump says of a container at this moment. */
export function configDump(container: ContainerRecord): ConfigDump {
  return {
    id: container.id,
    name: containerConfigOf(container).metadata?.name ?? "",
    rootfsImage: container.imageName,
    rootfsImageRef: container.imageId,
    rootfsImageName: container.imageRef.includes("@") ? container.imageRef : container.imageName,
    runtime: container.handler === "" ? "runc" : container.handler,
    createdTime: isoOf(container.createdAtNs),
    checkpointedTime: new Date().toISOString(),
    restoredTime: container.restore === undefined ? never : isoOf(container.startedAtNs ?? container.createdAtNs),
    restored: container.restore !== undefined,
  };
}

/** config.json of the container, with the annotations by which tools tell whose it was. */
export function specDump(context: CriContext, container: ContainerRecord): RuntimeSpec {
  // Written by us.
  const spec = JSON.parse(readFileSync(join(bundleOf(context, container.id), "config.json"), "utf8")) as RuntimeSpec;
  const { metadata } = sandboxConfigOf(context.sandboxes.get(container.sandboxId));
  return {
    ...spec,
    annotations: {
      ...spec.annotations,
      "io.kubernetes.cri.container-type": "container",
      "io.kubernetes.cri.container-name": containerConfigOf(container).metadata?.name ?? "",
      "io.kubernetes.cri.image-name": container.imageName,
      "io.kubernetes.cri.sandbox-id": container.sandboxId,
      "io.kubernetes.cri.sandbox-name": metadata?.name ?? "",
      "io.kubernetes.cri.sandbox-namespace": metadata?.namespace ?? "",
      "io.kubernetes.cri.sandbox-uid": metadata?.uid ?? "",
    },
  };
}
