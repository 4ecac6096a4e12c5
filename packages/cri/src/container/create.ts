import { constants, mkdirSync, writeFileSync } from "node:fs";
import { copyFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { type ContainerConfig, ContainerEventType } from "@tripod/api/cri";
import { failpoint, isNodeError, messageOf, randomHex, TripodError } from "@tripod/base";
import type { Image, RuntimeSpec, WritableLimit } from "@tripod/oci";
import { withSpan } from "@tripod/trace";
import { checkpointsOf } from "../checkpoint/capture.ts";
import { openCheckpoint, type OpenedCheckpoint, removeOpenedCheckpoint } from "../checkpoint/opened-checkpoint.ts";
import { baseImageOf, requireMounts } from "../checkpoint/restore-container.ts";
import { type RestoreSource, restoreSourceOf } from "../checkpoint/restore-source.ts";
import { bundleOf, type CriContext } from "../context.ts";
import { nowNs } from "../now.ts";
import {
  containerMetadata,
  containerName,
  type ContainerRecord,
  encodeContainerConfig,
} from "../records/container-record.ts";
import { sandboxConfigOf, type SandboxRecord } from "../records/sandbox-record.ts";
import { containerCgroup, isScope } from "../runtime/cgroup-driver.ts";
import { runtimeOf } from "../runtime/handler.ts";
import { podAttributes } from "../sandbox/stop.ts";
import { idMapOf } from "../sandbox/user-namespace.ts";
import { sandboxIsReady } from "../sandbox/view.ts";
import { superviseContainer } from "./exit.ts";
import { identify } from "./process.ts";
import { readyAddedMounts } from "./ready-added-mounts.ts";
import { removeReadyMounts } from "./ready-mounts.ts";
import { logPathOf } from "./log-path.ts";
import { stopSignalOf } from "./signals.ts";
import { containerSpec } from "./spec.ts";
import { removeContainer } from "./remove.ts";
import { undoContainer } from "./undo.ts";
import { writableLimitOf } from "./writable-limit.ts";

/**
 * Creates the container, or returns the one that the very same request has created before. It is made of its image or, when that is a
 * checkpoint or `restored` is given, of what was checkpointed.
 */
export async function createContainer(
  context: CriContext,
  sandbox: SandboxRecord,
  config: ContainerConfig,
  restored?: RestoreSource,
): Promise<ContainerRecord> {
  const metadata = containerMetadata(config);
  const name = containerName(sandbox.id, metadata);
  const made = await context.containerCreations.run(name, async () => {
    const attributes = { ...podAttributes(sandbox), "container.name": metadata.name };
    return await withSpan("cri.createContainer", attributes, async (span) => {
      // One whose clean-up failed, or is under way, gives its name back first.
      const ended = context.containers.findByName(name);
      if (ended?.phase === "removing") await removeContainer(context, ended.id);
      const existing = context.containers.findByName(name);
      if (existing !== undefined) {
        if (existing.phase === "created") return existing;
        throw taken(existing, `is ${existing.phase}`);
      }
      const id = randomHex(32);
      span.set({ "container.id": id });
      const work = planAndMake(context, { id, sandbox, config, restored });
      const creations = context.creationsInSandbox.get(sandbox.id) ?? new Set();
      context.creationsInSandbox.set(sandbox.id, creations.add(work));
      try {
        return await work;
      } finally {
        creations.delete(work);
        if (creations.size === 0) context.creationsInSandbox.delete(sandbox.id);
      }
    });
  });
  // It may have been asked for by another request, before or meanwhile.
  if (!isDeepStrictEqual(made.config, encodeContainerConfig(config))) throw taken(made, "has another configuration");
  return made;
}

const taken = ({ name, id }: ContainerRecord, why: string): TripodError =>
  new TripodError(
    "already-exists",
    `container ${name}: ${id} has this name and ${why}; remove it or raise the attempt`,
  );

interface Wanted {
  readonly id: string;
  readonly sandbox: SandboxRecord;
  readonly config: ContainerConfig;
}

/** Makes the container of its image or, when that is a checkpoint, of the image that the checkpointed container ran. */
async function planAndMake(
  context: CriContext,
  { id, sandbox, config, restored }: Wanted & { readonly restored: RestoreSource | undefined },
): Promise<ContainerRecord> {
  const wanted = { id, sandbox: context.sandboxes.get(sandbox.id), config };
  const name = config.image?.image ?? "";
  requireReady(context, wanted.sandbox);
  const source = restored ?? (name === "" ? undefined : await restoreSourceOf(context, name));
  if (source === undefined) {
    const image = name === "" ? undefined : context.images.get(name);
    if (image === undefined) {
      throw new TripodError("not-found", `create container: image ${JSON.stringify(name)} is not here; pull it first`);
    }
    return await makeContainer(context, { ...planContainer(context, image, wanted), sandbox, config });
  }
  const needs = { leaveRunning: false, whilePaused: false, what: `restore ${name}` };
  await checkpointsOf(context, sandbox.handler, needs);
  if (sandbox.userNamespace !== undefined) {
    throw new TripodError("failed-precondition", `restore ${name}: the Pod has a user namespace; set hostUsers: true`);
  }
  try {
    const restore = await openCheckpoint(context, source, id);
    failpoint("cri.container.checkpoint-opened");
    const image = await baseImageOf(context, restore);
    const planned = planContainer(context, image, wanted);
    const container = {
      ...planned.container,
      imageName: image.repoTags[0] ?? image.repoDigests[0] ?? image.id,
      restore: { checkpointedAt: restore.checkpointedAt },
    };
    return await makeContainer(context, { ...planned, container, sandbox, config, restore });
  } finally {
    // That of a container which came to be goes with the container.
    if (context.containers.find(id) === undefined) await removeOpenedCheckpoint(context, id);
  }
}

function requireReady(context: CriContext, sandbox: SandboxRecord): void {
  if (sandboxIsReady(context, sandbox)) return;
  throw new TripodError(
    "failed-precondition",
    `create container: sandbox ${sandbox.id} is not ready (${sandbox.phase}); run a new one`,
  );
}

/** The record of a container that is about to be made; what is missing is an error before anything is done. */
function planContainer(
  context: CriContext,
  image: Image,
  { id, sandbox, config }: Wanted,
): { readonly container: ContainerRecord; readonly image: Image; readonly limit: WritableLimit } {
  const metadata = containerMetadata(config);
  const { logDirectory, annotations } = sandboxConfigOf(sandbox);
  const container: ContainerRecord = {
    id,
    name: containerName(sandbox.id, metadata),
    phase: "making",
    sandboxId: sandbox.id,
    config: encodeContainerConfig(config),
    handler: sandbox.handler,
    imageId: image.id,
    imageName: imageNameOf(config, image),
    imageRef: image.repoDigests[0] ?? image.id,
    ...volumeImagesOf(context, config),
    cgroupsPath: containerCgroup(context, sandbox.cgroupParent, id),
    logPath: logPathOf(logDirectory, config.logPath),
    stopSignal: stopSignalOf(config.stopSignal, image.config.config?.StopSignal),
    createdAtNs: String(nowNs()),
  };
  return { container, image, limit: writableLimitOf(context.config, { annotations, container: metadata.name }) };
}

/** What the names of image volumes mean now; a missing image is an error later, in the words of mounting. */
function volumeImagesOf(context: CriContext, { mounts }: ContainerConfig): Pick<ContainerRecord, "volumeImages"> {
  const names = mounts.map((mount) => mount.image?.image ?? "").filter((name) => name !== "");
  if (names.length === 0) return {};
  const found = names.flatMap((name) => {
    const id = context.images.get(name)?.id;
    return id === undefined ? [] : [[name, id] as const];
  });
  return { volumeImages: Object.fromEntries(found) };
}

const imageNameOf = ({ image: spec }: ContainerConfig, image: Image): string => {
  const asked = spec?.image ?? "";
  if (spec !== undefined && spec.userSpecifiedImage !== "") return spec.userSpecifiedImage;
  return image.id.includes(asked) ? (image.repoTags[0] ?? image.repoDigests[0] ?? asked) : asked;
};

interface Making {
  readonly container: ContainerRecord;
  readonly image: Image;
  readonly limit: WritableLimit;
  readonly sandbox: SandboxRecord;
  readonly config: ContainerConfig;
  readonly restore?: OpenedCheckpoint;
}

async function makeContainer(context: CriContext, making: Making): Promise<ContainerRecord> {
  const { container } = making;
  context.containers.put(container);
  failpoint("cri.container.recorded");
  try {
    const created = await build(context, making);
    // The sandbox may have been stopped meanwhile; it waits for us, and kills what it finds.
    context.containers.put(created);
    failpoint("cri.container.created");
    superviseContainer(context, created);
    await context.nri.madeContainer(created, true);
    context.events.emit(ContainerEventType.CONTAINER_CREATED_EVENT, created.id, created.sandboxId);
    return created;
  } catch (error) {
    try {
      await undoContainer(context, container);
    } catch (cleanup) {
      // The record stays, by which a later removal or the next start finds what is left.
      context.log.error(
        { container: container.id, error: messageOf(cleanup) },
        "container: clean-up after a failure failed",
      );
      context.containers.putIfRoom({ ...container, phase: "removing" });
    }
    await context.nri.madeContainer(container, false);
    throw error;
  }
}

/** Makes everything that the low-level runtime is to find; who the container runs as. */
async function prepareBundle(
  context: CriContext,
  { container, image, limit, sandbox, config, restore }: Making,
): Promise<RuntimeSpec["process"]["user"]> {
  const idMap = idMapOf(context, sandbox);
  const { rootfs } = await withSpan("rootfs prepare", { "container.id": container.id, image: image.id }, () =>
    context.images.prepareRootfs(container.id, image.id, {
      ...limit,
      ...(idMap !== undefined && { idMap }),
      ...(restore !== undefined && { restored: restore.files }),
    }),
  );
  failpoint("cri.container.rootfs-made");
  const plain = await containerSpec(context, {
    sandbox,
    config,
    image,
    rootfs,
    id: container.id,
    cgroupsPath: container.cgroupsPath,
  });
  const spec = await readyAddedMounts(context, await context.nri.adjust(container, sandbox, plain), {
    before: plain.mounts,
    prefix: "nri-",
    containerId: container.id,
    idMap,
    abilities: await runtimeOf(context, container.handler).features(),
  });
  if (restore !== undefined) requireMounts(spec, restore);
  writeFileSync(join(bundleOf(context, container.id), "config.json"), JSON.stringify(spec), { mode: 0o600 });
  failpoint("cri.container.spec-written");
  return spec.process.user;
}

async function build(context: CriContext, making: Making): Promise<ContainerRecord> {
  const { container, config } = making;
  const runtime = runtimeOf(context, container.handler);
  const bundle = bundleOf(context, container.id);
  mkdirSync(bundle, { recursive: true, mode: 0o711 });
  if (container.logPath !== "") mkdirSync(dirname(container.logPath), { recursive: true, mode: 0o755 });
  if (making.restore !== undefined) return await readyToRestore(context, { ...making, restore: making.restore });
  // One turn later, so that the runtime's part is under way by then.
  const preparing = Promise.resolve().then(() => prepareBundle(context, making));
  const creating = runtime.create({
    id: container.id,
    bundle,
    ready: preparing,
    ...(container.logPath !== "" && { logPath: container.logPath }),
    terminal: config.tty,
    stdin: config.stdin,
    stdinOnce: config.stdinOnce,
    systemdCgroup: isScope(container.cgroupsPath),
  });
  // Whichever fails, the other makes nothing any more by the time that all is undone.
  await Promise.allSettled([preparing, creating]);
  const user = await preparing;
  const { pid, supervisorPid } = await creating;
  failpoint("cri.container.runtime-created");
  removeReadyMounts(context, container.id); // the container has copies of its own
  failpoint("cri.container.mounts-copied");
  const init = identify(pid);
  const supervisor = identify(supervisorPid);
  if (init === undefined || supervisor === undefined) {
    throw new TripodError(
      "internal",
      `create container ${container.id}: its first process died before it could be started`,
    );
  }
  return {
    ...container,
    phase: "created",
    user: { uid: user.uid, gid: user.gid, groups: user.additionalGids ?? [] },
    init,
    supervisor,
  };
}

/** What build() does of a container whose start is a restoration: until then nothing of it runs. */
async function readyToRestore(
  context: CriContext,
  making: Making & { readonly restore: OpenedCheckpoint },
): Promise<ContainerRecord> {
  const { container, restore } = making;
  const user = await prepareBundle(context, making);
  if (restore.log !== undefined && container.logPath !== "") {
    await copyFile(restore.log, container.logPath, constants.COPYFILE_EXCL).catch((error: unknown) => {
      if (!isNodeError(error, "EEXIST")) throw error; // an earlier attempt's, which goes on
    });
  }
  return {
    ...container,
    phase: "created",
    user: { uid: user.uid, gid: user.gid, groups: user.additionalGids ?? [] },
  };
}
