import { isDeepStrictEqual } from "node:util";
import type { Snapshot } from "@tripod/api/csi";
import { type Stored, timeNow, type VolumeSnapshot, type VolumeSnapshotContent } from "@tripod/api/kubernetes";
import { codeOf, failpoint, messageOf, TripodError } from "@tripod/base";
import { type EventRecorder, volumeSnapshotContents, volumeSnapshots, WorkQueue } from "@tripod/kube";
import { withSpan } from "@tripod/trace";
import type { ControllerContext } from "../context.ts";
import type { CsiDriver } from "../csi/csi-drivers.ts";
import { readSecrets, secretReference } from "../csi/secrets.ts";
import { changeFinalizers } from "../finalizers.ts";
import {
  callTimeoutMs,
  driverParameters,
  mayHaveHappened,
  snapshotReader,
  takenAtNs,
  takeSnapshot,
} from "./csi-snapshots.ts";
import { type ContentDecision, decideContent } from "./decide-content.ts";
import { PollDelays } from "./poll-delays.ts";
import { driverSnapshotName, finalizers, snapshotAnnotations } from "./snapshot-names.ts";

/** Has the drivers that are registered here take, look after and delete the snapshots that contents stand for. */
export class SnapshotContentController implements AsyncDisposable {
  readonly #context: ControllerContext;
  readonly #queue: WorkQueue;
  readonly #stack = new DisposableStack();
  readonly #polls = new PollDelays();

  constructor(context: ControllerContext) {
    this.#context = context;
    const { world, log, csi } = context;
    const options = { name: "snapshot contents", log, concurrency: 10, firstDelayMs: 500 };
    this.#queue = new WorkQueue(options, (name, signal) => this.#sync(name, signal));
    const changed = (content: Stored<VolumeSnapshotContent>, previous?: Stored<VolumeSnapshotContent>): void => {
      const { name } = content.metadata;
      // An error that was written into the status must not start the next try at once.
      if (previous === undefined || !isOnlyReport(content, previous) || this.#queue.failuresOf(name) === 0)
        this.#queue.add(name);
    };
    this.#stack.defer(
      world.snapshotContents.on({
        added: (content) => changed(content),
        updated: changed,
        deleted: ({ metadata }) => this.#polls.forget(metadata.name),
      }),
    );
    this.#stack.defer(csi.onRegistered((driver) => this.#wake((content) => content.spec.driver === driver)));
    this.#stack.defer(
      world.snapshotClasses.on({
        added: ({ metadata }) => this.#wake((content) => content.spec.volumeSnapshotClassName === metadata.name),
      }),
    );
    // A content that is being deleted by hand may go when its snapshot is gone.
    this.#stack.defer(
      world.snapshots.on({
        deleted: ({ metadata }) => this.#wake((content) => content.spec.volumeSnapshotRef.uid === metadata.uid),
      }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stack.dispose();
    await this.#queue.close();
  }

  #wake(concerns: (content: VolumeSnapshotContent) => boolean): void {
    for (const content of this.#context.world.snapshotContents.list())
      if (concerns(content)) this.#queue.add(content.metadata.name);
  }

  #recorder(driver: string): EventRecorder {
    return this.#context.recorder(`csi-snapshotter ${driver}`);
  }

  async #sync(name: string, signal: AbortSignal): Promise<void> {
    const { world, csi } = this.#context;
    const content = world.snapshotContents.get(name);
    if (content === undefined) return;
    const driver = csi.get(content.spec.driver);
    const decision = decideContent(content, {
      hasSnapshot: await this.#hasSnapshot(content),
      canLook: driver !== undefined && snapshotReader(driver) !== undefined,
    });
    if (decision.kind === "none") return;
    // Every write of ours brings the content back here, which must not hasten the driver.
    const leftMs = content.metadata.deletionTimestamp === undefined ? this.#polls.left(name) : 0;
    if (leftMs > 0 && (decision.kind === "take" || decision.kind === "look")) {
      this.#queue.addAfter(name, leftMs);
      return;
    }
    if (driver === undefined) {
      // The finalizer holds it, so whoever waits for it must learn why.
      if (content.metadata.deletionTimestamp !== undefined)
        this.#recorder(content.spec.driver).record({
          about: content,
          type: "Warning",
          reason: "SnapshotDeleteError",
          message: `Waiting for CSI driver ${content.spec.driver} to be registered, which has the snapshot`,
        });
      return;
    }
    const attributes = { "snapshot.content": name, "csi.driver": driver.name };
    await withSpan(`snapshot-contents.${decision.kind}`, attributes, () =>
      this.#apply(content, decision, { driver, signal }),
    );
  }

  /** Asked only of a content that is to go without its snapshot's word: data hangs on it, so the cache is not enough. */
  async #hasSnapshot({ metadata, spec }: Stored<VolumeSnapshotContent>): Promise<boolean> {
    if (metadata.deletionTimestamp === undefined) return true;
    const { name, namespace = "default", uid = "" } = spec.volumeSnapshotRef;
    if (uid === "" || name === undefined) return false;
    const snapshot = await this.#context.client.resource(volumeSnapshots).find(name, { namespace });
    return snapshot?.metadata.uid === uid;
  }

  async #apply(content: Stored<VolumeSnapshotContent>, decision: ContentDecision, call: Call): Promise<void> {
    const contents = this.#context.client.resource(volumeSnapshotContents);
    switch (decision.kind) {
      case "none":
        return;
      case "hold":
        await changeFinalizers(contents, content, { add: [finalizers.content] });
        return;
      case "settle":
        await this.#mark(content, null);
        return;
      case "take":
      case "look":
        try {
          await (decision.kind === "take"
            ? this.#take(content, decision.volume, call)
            : this.#look(content, decision.snapshot, call));
        } catch (error) {
          if (!call.signal.aborted && codeOf(error) !== "conflict") await this.#failed(content, decision.kind, error);
          throw error;
        }
        return;
      case "remove":
        await this.#remove(content, decision.snapshot, call);
    }
  }

  async #take(content: Stored<VolumeSnapshotContent>, sourceVolumeId: string, { driver, signal }: Call): Promise<void> {
    const { client, world } = this.#context;
    const { volumeSnapshotClassName: className, volumeSnapshotRef } = content.spec;
    const snapshotClass = world.snapshotClasses.get(className ?? "");
    if (snapshotClass === undefined)
      throw new TripodError("failed-precondition", `there is no VolumeSnapshotClass ${className}`);
    const secrets = await readSecrets(client, deletionSecret(content), signal);
    const marked = await this.#mark(content, "yes");
    failpoint("controllers.snapshot-contents.marked");
    let taken: Snapshot;
    try {
      const request = { name: driverSnapshotName(volumeSnapshotRef.uid ?? ""), sourceVolumeId, secrets };
      taken = await takeSnapshot(
        driver,
        { ...request, parameters: driverParameters(snapshotClass.parameters) },
        signal,
      );
    } catch (error) {
      // A clear no: there is nothing half taken, and the content may go.
      if (!mayHaveHappened.includes(codeOf(error))) await this.#mark(marked, null);
      throw error;
    }
    failpoint("controllers.snapshot-contents.taken");
    const recorded = await this.#record(marked, taken);
    failpoint("controllers.snapshot-contents.recorded");
    await this.#mark(recorded, null);
  }

  async #look(content: Stored<VolumeSnapshotContent>, snapshotId: string, { driver, signal }: Call): Promise<void> {
    const read = snapshotReader(driver);
    if (read === undefined) {
      const creationTime = content.status?.creationTime ?? takenAtNs({});
      await this.#write(content, { snapshotHandle: snapshotId, readyToUse: true, creationTime, error: null });
      return;
    }
    const parameters = this.#context.world.snapshotClasses.get(content.spec.volumeSnapshotClassName ?? "")?.parameters;
    const templates = new Map([["volumesnapshotcontent.name", content.metadata.name]]);
    const listSecret = secretReference(parameters ?? {}, "snapshotter-list", templates);
    const secrets = await readSecrets(this.#context.client, listSecret ?? deletionSecret(content), signal);
    await this.#record(content, await read(snapshotId, secrets, signal));
  }

  /** Writes what the driver said; a snapshot that is not ready yet is looked after again, less and less often. */
  async #record(content: Stored<VolumeSnapshotContent>, found: Snapshot): Promise<Stored<VolumeSnapshotContent>> {
    const { status = {} } = content;
    const written = await this.#write(content, {
      snapshotHandle: found.snapshotId,
      readyToUse: found.readyToUse,
      creationTime: status.creationTime ?? takenAtNs(found),
      ...(found.sizeBytes > 0n ? { restoreSize: status.restoreSize ?? Number(found.sizeBytes) } : {}),
      ...(found.groupSnapshotId === "" ? {} : { volumeGroupSnapshotHandle: found.groupSnapshotId }),
      error: null,
    });
    const { name } = content.metadata;
    if (found.readyToUse) this.#polls.forget(name);
    else this.#queue.addAfter(name, this.#polls.next(name));
    return written;
  }

  async #write(content: Stored<VolumeSnapshotContent>, status: object): Promise<Stored<VolumeSnapshotContent>> {
    const { name, uid } = content.metadata;
    const same = Object.entries(status).every(
      ([key, value]) =>
        isDeepStrictEqual((content.status as Readonly<Record<string, unknown>> | undefined)?.[key] ?? null, value), // its fields by name
    );
    if (same) return content;
    return this.#context.client
      .resource(volumeSnapshotContents)
      .patch(name, { metadata: { uid }, status }, { subresource: "status" });
  }

  /** Says in the content that its driver was asked, or (null) that it has answered. */
  async #mark(content: Stored<VolumeSnapshotContent>, mark: "yes" | null): Promise<Stored<VolumeSnapshotContent>> {
    const { name, uid, annotations } = content.metadata;
    if ((annotations?.[snapshotAnnotations.beingCreated] ?? null) === mark) return content;
    const patch = { metadata: { uid, annotations: { [snapshotAnnotations.beingCreated]: mark } } };
    return this.#context.client.resource(volumeSnapshotContents).patch(name, patch);
  }

  async #remove(content: Stored<VolumeSnapshotContent>, snapshotId: string | undefined, call: Call): Promise<void> {
    const { client } = this.#context;
    const { driver, signal } = call;
    if (snapshotId !== undefined) {
      try {
        const secrets = await readSecrets(client, deletionSecret(content), signal);
        await driver.controller.deleteSnapshot({ snapshotId, secrets }, { signal, timeoutMs: callTimeoutMs });
      } catch (error) {
        if (!signal.aborted)
          this.#recorder(driver.name).record({
            about: content,
            type: "Warning",
            reason: "SnapshotDeleteError",
            message: `Failed to delete snapshot: ${messageOf(error)}`,
          });
        throw error;
      }
      failpoint("controllers.snapshot-contents.deleted");
    }
    await changeFinalizers(client.resource(volumeSnapshotContents), content, { remove: [finalizers.content] });
  }

  /** Tells of a failure in the status, and by Events about the content and the snapshot that waits for it. */
  async #failed(content: Stored<VolumeSnapshotContent>, step: "take" | "look", error: unknown): Promise<void> {
    const { client, world } = this.#context;
    const what = step === "take" ? "Failed to create snapshot" : "Failed to check and update snapshot content";
    const message = `${what}: ${messageOf(error)}`;
    const reason = step === "take" ? "SnapshotCreationFailed" : "SnapshotContentCheckandUpdateFailed";
    const { name, namespace } = content.spec.volumeSnapshotRef;
    const snapshot: Stored<VolumeSnapshot> | undefined = world.snapshots.get(`${namespace}/${name}`);
    for (const about of [content, ...(snapshot === undefined ? [] : [snapshot])])
      this.#recorder(content.spec.driver).record({ about, type: "Warning", reason, message });
    if (content.status?.error?.message === message) return;
    const patch = {
      metadata: { uid: content.metadata.uid },
      status: { readyToUse: false, error: { time: timeNow(), message } },
    };
    try {
      await client.resource(volumeSnapshotContents).patch(content.metadata.name, patch, { subresource: "status" });
    } catch (failure) {
      if (codeOf(failure) !== "not-found" && codeOf(failure) !== "conflict") throw failure;
    }
  }
}

interface Call {
  readonly driver: CsiDriver;
  readonly signal: AbortSignal;
}

/** The secret that the content was made with. */
function deletionSecret({ metadata: { annotations = {} } }: VolumeSnapshotContent) {
  const { [snapshotAnnotations.secretName]: name, [snapshotAnnotations.secretNamespace]: namespace } = annotations;
  return name === undefined || namespace === undefined ? undefined : { name, namespace };
}

/** Whether nothing changed but what this controller itself writes. */
function isOnlyReport(content: Stored<VolumeSnapshotContent>, previous: Stored<VolumeSnapshotContent>): boolean {
  const { [snapshotAnnotations.beingCreated]: _now, ...marks } = content.metadata.annotations ?? {};
  const { [snapshotAnnotations.beingCreated]: _before, ...marksBefore } = previous.metadata.annotations ?? {};
  return (
    content.metadata.deletionTimestamp === previous.metadata.deletionTimestamp &&
    isDeepStrictEqual(content.spec, previous.spec) &&
    isDeepStrictEqual(marks, marksBefore)
  );
}
