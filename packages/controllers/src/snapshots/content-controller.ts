import { isDeepStrictEqual } from "node:util";
import { type SecretReference, type Stored, timeNow } from "@tripod/api/kubernetes";
import { codeOf, failpoint, messageOf } from "@tripod/base";
import { isFinalFailure } from "@tripod/csi/expansion";
import { type EventRecorder, type ResourceClient, WorkQueue } from "@tripod/kube";
import { withSpan } from "@tripod/trace";
import type { ControllerContext } from "../context.ts";
import { readSecrets } from "../csi/secrets.ts";
import { changeFinalizers } from "../finalizers.ts";
import type { Call, Content, ContentKind, NewStatus } from "./content-kind.ts";
import { contentView } from "./content-view.ts";
import { type ContentDecision, decideContent } from "./decide-content.ts";
import { PollDelays } from "./poll-delays.ts";

/** Has the drivers that are registered here take, look after and delete what contents of one kind stand for. */
export class ContentController<C extends Content> implements AsyncDisposable {
  readonly #context: ControllerContext;
  readonly #kind: ContentKind<C>;
  readonly #contents: ResourceClient<C>;
  readonly #queue: WorkQueue;
  readonly #stack = new DisposableStack();
  readonly #polls = new PollDelays();

  constructor(context: ControllerContext, kind: ContentKind<C>) {
    this.#context = context;
    this.#kind = kind;
    const { client, world, log, csi } = context;
    this.#contents = client.resource(kind.ref);
    const options = { name: kind.name, log, concurrency: 10, firstDelayMs: 500 };
    this.#queue = new WorkQueue(options, (name, signal) => this.#sync(name, signal));
    const changed = (content: Stored<C>, previous?: Stored<C>): void => {
      const { name } = content.metadata;
      // An error that was written into the status must not start the next try at once.
      if (previous === undefined || !this.#isOnlyReport(content, previous) || this.#queue.failuresOf(name) === 0)
        this.#queue.add(name);
    };
    this.#stack.defer(
      kind.contents(world).on({
        added: (content) => changed(content),
        updated: changed,
        // Forgotten when work on it has ended.
        deleted: ({ metadata }) => this.#queue.add(metadata.name),
      }),
    );
    this.#stack.defer(csi.onRegistered((driver) => this.#wake((content) => content.spec.driver === driver)));
    this.#stack.defer(
      kind.classes(world).on({
        added: ({ metadata }) => this.#wake((content) => kind.classOf(content) === metadata.name),
      }),
    );
    // A content that is being deleted by hand may go when its snapshot is gone.
    this.#stack.defer(
      kind.owners(world).on({
        deleted: ({ metadata }) => this.#wake((content) => kind.referenceOf(content).uid === metadata.uid),
      }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stack.dispose();
    await this.#queue.close();
  }

  #wake(concerns: (content: C) => boolean): void {
    for (const content of this.#kind.contents(this.#context.world).list())
      if (concerns(content)) this.#queue.add(content.metadata.name);
  }

  #recorder(driver: string): EventRecorder {
    return this.#context.recorder(`csi-snapshotter ${driver}`);
  }

  async #sync(name: string, signal: AbortSignal): Promise<void> {
    const { world, csi, client } = this.#context;
    const content = this.#kind.contents(world).get(name);
    if (content === undefined) return this.#polls.forget(name);
    const driver = csi.get(content.spec.driver);
    const decision = decideContent(contentView(this.#kind, content), {
      hasOwner: await this.#hasOwner(content),
      canLook: driver !== undefined && this.#kind.canLook(driver),
    });
    const attributes = { "snapshot.content": name, "csi.driver": content.spec.driver };
    await withSpan(`${this.#kind.name}.${decision}`, attributes, async () => {
      if (decision === "hold") await this.#changeFinalizer(content, "add");
      else if (decision === "settle") await this.#mark(content, null);
      else if (decision === "release") await this.#changeFinalizer(content, "remove");
      else if (decision !== "none" && driver === undefined) this.#waitForDriver(content);
      else if (decision !== "none" && driver !== undefined)
        await this.#call(content, decision, {
          driver,
          world,
          signal,
          secrets: (ofClass) => readSecrets(client, ofClass ?? this.#ownSecret(content), signal),
        });
    });
  }

  /** The secret that a content was made with. */
  #ownSecret({ metadata: { annotations = {} } }: Stored<C>): SecretReference | undefined {
    const { secretName, secretNamespace } = this.#kind.annotations;
    const { [secretName]: name, [secretNamespace]: namespace } = annotations;
    return name === undefined || namespace === undefined ? undefined : { name, namespace };
  }

  /** Asked only of a content that is to go without its snapshot's word: data hangs on it, so the cache is not enough. */
  async #hasOwner(content: Stored<C>): Promise<boolean> {
    if (content.metadata.deletionTimestamp === undefined) return true;
    const { name, namespace = "default", uid = "" } = this.#kind.referenceOf(content);
    if (uid === "" || name === undefined) return false;
    const owner = await this.#context.client.resource(this.#kind.owner).find(name, { namespace });
    return owner?.metadata.uid === uid;
  }

  /** A finalizer holds what is being deleted, so whoever waits for that must learn why. */
  #waitForDriver(content: Stored<C>): void {
    const { driver } = content.spec;
    if (content.metadata.deletionTimestamp === undefined) return;
    const message = `Waiting for CSI driver ${driver} to be registered, which has the snapshot`;
    // By who is known: the driver's name may be any, and each recorder stays.
    const recorder = this.#context.recorder("snapshot-controller");
    recorder.record({ about: content, type: "Warning", reason: this.#kind.reasons.remove, message });
  }

  async #call(content: Stored<C>, step: "take" | "look" | "remove", call: Call): Promise<void> {
    const { name, deletionTimestamp } = content.metadata;
    // Every write of ours brings the content back here, which must not hasten the driver.
    const leftMs = step === "remove" || deletionTimestamp !== undefined ? 0 : this.#polls.left(name);
    if (leftMs > 0) {
      this.#queue.addAfter(name, leftMs);
      return;
    }
    try {
      if (step === "take") await this.#take(content, call);
      if (step === "look") await this.#record(content, await this.#kind.look(content, call));
      if (step === "remove") await this.#remove(content, call);
    } catch (error) {
      if (!call.signal.aborted && codeOf(error) !== "conflict") await this.#failed(content, step, error);
      throw error;
    }
  }

  async #take(content: Stored<C>, call: Call): Promise<void> {
    // A failure before the driver is asked says nothing of what it was asked before: the mark stays.
    const take = await this.#kind.take(content, call);
    const marked = await this.#mark(content, "yes");
    failpoint(`controllers.${this.#kind.name}.marked`);
    let status: NewStatus;
    try {
      status = await take();
    } catch (error) {
      // A clear no: there is nothing half taken, and the content may go.
      if (isFinalFailure(codeOf(error))) await this.#mark(marked, null);
      throw error;
    }
    failpoint(`controllers.${this.#kind.name}.taken`);
    const recorded = await this.#record(marked, status);
    failpoint(`controllers.${this.#kind.name}.recorded`);
    await this.#mark(recorded, null);
  }

  /** Writes what the driver said; what is not ready yet is looked after again, less and less often. */
  async #record(content: Stored<C>, status: NewStatus): Promise<Stored<C>> {
    const { name, uid } = content.metadata;
    if (status.readyToUse) this.#polls.forget(name);
    else this.#queue.addAfter(name, this.#polls.next(name));
    const known = content.status as Readonly<Record<string, unknown>> | undefined; // its fields by name
    const wanted = { ...status, error: null };
    const same = Object.entries(wanted).every(([key, value]) => isDeepStrictEqual(known?.[key] ?? null, value));
    if (same) return content;
    return this.#contents.patch(name, { metadata: { uid }, status: wanted }, { subresource: "status" });
  }

  async #remove(content: Stored<C>, call: Call): Promise<void> {
    await this.#kind.remove(content, call);
    failpoint(`controllers.${this.#kind.name}.deleted`);
    await this.#changeFinalizer(content, "remove");
  }

  async #changeFinalizer(content: Stored<C>, change: "add" | "remove"): Promise<void> {
    await changeFinalizers(this.#contents, content, { [change]: [this.#kind.finalizer] });
  }

  /** Says in the content that its driver was asked, or (null) that it has answered. */
  async #mark(content: Stored<C>, mark: "yes" | null): Promise<Stored<C>> {
    const { name, uid, annotations } = content.metadata;
    const { beingCreated } = this.#kind.annotations;
    if ((annotations?.[beingCreated] ?? null) === mark) return content;
    return this.#contents.patch(name, { metadata: { uid, annotations: { [beingCreated]: mark } } });
  }

  /** Tells of a failure by Events about the content and the snapshot that waits for it, and in the status. */
  async #failed(content: Stored<C>, step: "take" | "look" | "remove", error: unknown): Promise<void> {
    const message = `${failures[step]}: ${messageOf(error)}`;
    const { name, namespace } = this.#kind.referenceOf(content);
    const owner = this.#kind.owners(this.#context.world).get(`${namespace}/${name}`);
    for (const about of [content, ...(owner === undefined ? [] : [owner])])
      this.#recorder(content.spec.driver).record({
        about,
        type: "Warning",
        reason: this.#kind.reasons[step],
        message,
      });
    if (step === "remove" || content.status?.error?.message === message) return;
    const status = { readyToUse: false, error: { time: timeNow(), message } };
    try {
      const patch = { metadata: { uid: content.metadata.uid }, status };
      await this.#contents.patch(content.metadata.name, patch, { subresource: "status" });
    } catch (failure) {
      if (codeOf(failure) !== "not-found" && codeOf(failure) !== "conflict") throw failure;
    }
  }

  /** Whether nothing changed but what is written here. */
  #isOnlyReport(content: Stored<C>, previous: Stored<C>): boolean {
    const [now, before] = [content, previous].map(({ metadata, spec }) => {
      const { [this.#kind.annotations.beingCreated]: _ours, ...marks } = metadata.annotations ?? {};
      return { spec, marks, deletionTimestamp: metadata.deletionTimestamp };
    });
    return isDeepStrictEqual(now, before);
  }
}

const failures: Readonly<Record<Extract<ContentDecision, "take" | "look" | "remove">, string>> = {
  take: "Failed to create snapshot",
  look: "Failed to check and update snapshot content",
  remove: "Failed to delete snapshot",
};
