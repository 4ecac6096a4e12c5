import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type ContainerAttributesSchema,
  type ContainerFilter,
  type ContainerSchema,
  ContainerState,
  type ContainerStatusSchema,
  type ImageSpec,
  type ImageSpecSchema,
  type Mount,
  type MountSchema,
} from "@tripod/api/cri";
import type { CriContext } from "../context.ts";
import { idMatches, labelsMatch } from "../filters.ts";
import { containerConfigOf, type ContainerPhase, type ContainerRecord } from "../records/container-record.ts";
import { protocolSignal } from "./signals.ts";

const states: Readonly<Record<ContainerPhase, ContainerState>> = {
  making: ContainerState.CONTAINER_UNKNOWN,
  created: ContainerState.CONTAINER_CREATED,
  starting: ContainerState.CONTAINER_CREATED,
  running: ContainerState.CONTAINER_RUNNING,
  exited: ContainerState.CONTAINER_EXITED,
  removing: ContainerState.CONTAINER_EXITED,
};

const shownImage = (
  asked: ImageSpec | undefined,
  { imageName }: ContainerRecord,
): MessageInitShape<typeof ImageSpecSchema> => ({
  image: imageName,
  annotations: asked?.annotations ?? {},
  userSpecifiedImage: asked?.userSpecifiedImage ?? "",
});

/** A container as ListContainers shows it. */
export function containerListItem(container: ContainerRecord): MessageInitShape<typeof ContainerSchema> {
  const { metadata, image, labels, annotations } = containerConfigOf(container);
  return {
    id: container.id,
    podSandboxId: container.sandboxId,
    metadata,
    image: shownImage(image, container),
    imageRef: container.imageRef,
    imageId: container.imageId,
    state: states[container.phase],
    createdAt: BigInt(container.createdAtNs),
    labels,
    annotations,
  };
}

/** A mount as it was asked for; of an image, with the one that its name meant. */
function shownMount(mount: Mount, { volumeImages }: ContainerRecord): MessageInitShape<typeof MountSchema> {
  const { image } = mount;
  const imageRef = image === undefined ? undefined : volumeImages?.[image.image];
  if (image === undefined || imageRef === undefined) return mount;
  return { ...mount, image: { ...image, imageRef } };
}

/** A container as ContainerStatus and the events show it. */
export function containerStatus(
  _context: CriContext,
  container: ContainerRecord,
): MessageInitShape<typeof ContainerStatusSchema> {
  const { metadata, image, labels, annotations, mounts, linux } = containerConfigOf(container);
  const { exit, user } = container;
  return {
    id: container.id,
    metadata,
    state: states[container.phase],
    createdAt: BigInt(container.createdAtNs),
    startedAt: BigInt(container.startedAtNs ?? 0),
    finishedAt: BigInt(exit?.finishedAtNs ?? 0),
    exitCode: exit?.code ?? 0,
    image: shownImage(image, container),
    imageRef: container.imageRef,
    imageId: container.imageId,
    reason: exit?.reason ?? "",
    message: exit?.message ?? "",
    labels,
    annotations,
    mounts: mounts.map((mount) => shownMount(mount, container)),
    logPath: container.logPath,
    resources: { linux: linux?.resources },
    ...(user !== undefined && {
      user: { linux: { uid: BigInt(user.uid), gid: BigInt(user.gid), supplementalGroups: user.groups.map(BigInt) } },
    }),
    stopSignal: protocolSignal(container.stopSignal),
  };
}

/** A container as the statistics name it. */
export function containerAttributes(container: ContainerRecord): MessageInitShape<typeof ContainerAttributesSchema> {
  const { metadata, labels, annotations } = containerConfigOf(container);
  return { id: container.id, metadata, labels, annotations };
}

/** ContainerFilter and ContainerStatsFilter. */
export type ContainerSelection = Pick<ContainerFilter, "id" | "podSandboxId" | "labelSelector"> & {
  readonly state?: ContainerFilter["state"];
};

/** The containers that all parts of the filter let through; those that are being made are not shown. */
export function selectContainers(context: CriContext, filter: ContainerSelection | undefined): ContainerRecord[] {
  return context.containers
    .list()
    .filter((container) => container.phase !== "making")
    .filter((container) => idMatches(container.id, filter?.id))
    .filter((container) => idMatches(container.sandboxId, filter?.podSandboxId))
    .filter((container) => filter?.state === undefined || states[container.phase] === filter.state.state)
    .filter((container) => labelsMatch(containerConfigOf(container).labels, filter?.labelSelector));
}
