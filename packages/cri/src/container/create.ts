import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { type ContainerConfig, ContainerEventType } from "@tripod/api/cri";
import { failpoint, messageOf, randomHex, TripodError } from "@tripod/base";
import type { Image, RuntimeSpec, WritableLimit } from "@tripod/oci";
import { withSpan } from "@tripod/trace";
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

/** Creates the container, or returns the one that the very same request has created before. */
export async function createContainer(
  context: CriContext,
  sandbox: SandboxRecord,
  config: ContainerConfig,
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
      const planned = planContainer(context, context.sandboxes.get(sandbox.id), config);
      span.set({ "container.id": planned.container.id });
      const work = makeContainer(context, { ...planned, sandbox, config });
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

/** The record of a container that is about to be made, and its image; what is missing is an error before anything is done. */
function planContainer(
  context: CriContext,
  sandbox: SandboxRecord,
  config: ContainerConfig,
): { readonly container: ContainerRecord; readonly image: Image; readonly limit: WritableLimit } {
  if (!sandboxIsReady(context, sandbox)) {
    throw new TripodError(
      "failed-precondition",
      `create container: sandbox ${sandbox.id} is not ready (${sandbox.phase}); run a new one`,
    );
  }
  const asked = config.image?.image ?? "";
  const image = asked === "" ? undefined : context.images.get(asked);
  if (image === undefined) {
    throw new TripodError("not-found", `create container: image ${JSON.stringify(asked)} is not here; pull it first`);
  }
  const id = randomHex(32);
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
  { container, image, limit, sandbox, config }: Making,
): Promise<RuntimeSpec["process"]["user"]> {
  const idMap = idMapOf(context, sandbox);
  const { rootfs } = await withSpan("rootfs prepare", { "container.id": container.id, image: image.id }, () =>
    context.images.prepareRootfs(container.id, image.id, { ...limit, ...(idMap !== undefined && { idMap }) }),
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
