import { keyOf, type PersistentVolumeClaim, type Stored } from "@tripod/api/kubernetes";
import { persistentVolumeClaims, WorkQueue } from "@tripod/kube";
import type { ControllerContext } from "../context.ts";
import { removeFinalizer } from "../finalizers.ts";
import { cloneSourceFinalizer, snapshotSourceFinalizer, unneededProtection } from "./decide-source-protection.ts";

/** Lets claims go of which no snapshot and no clone is being made any more; whoever begins one holds its source first. */
export class SourceProtection implements AsyncDisposable {
  readonly #context: ControllerContext;
  readonly #queue: WorkQueue;
  readonly #stack = new DisposableStack();

  constructor(context: ControllerContext) {
    this.#context = context;
    const { world, log } = context;
    this.#queue = new WorkQueue({ name: "source protection", log }, (key) => this.#sync(key));
    const isHeld = ({ metadata: { finalizers = [] } }: PersistentVolumeClaim): boolean =>
      finalizers.includes(snapshotSourceFinalizer) || finalizers.includes(cloneSourceFinalizer);
    const claimChanged = (claim: Stored<PersistentVolumeClaim>): void => {
      if (isHeld(claim)) this.#queue.add(keyOf(claim));
      const { kind, name } = claim.spec.dataSource ?? {};
      if (kind === "PersistentVolumeClaim") this.#queue.add(`${claim.metadata.namespace}/${name}`);
    };
    this.#stack.defer(world.claims.on({ added: claimChanged, updated: claimChanged, deleted: claimChanged }));
    const snapshotChanged = ({ metadata, spec }: { metadata: { namespace?: string }; spec: SourceSpec }): void => {
      const name = spec.source.persistentVolumeClaimName;
      if (name !== undefined) this.#queue.add(`${metadata.namespace}/${name}`);
    };
    this.#stack.defer(
      world.snapshots.on({ added: snapshotChanged, updated: snapshotChanged, deleted: snapshotChanged }),
    );
    const groupChanged = ({ metadata: { namespace } }: { metadata: { namespace?: string } }): void => {
      for (const claim of world.claims.list())
        if (claim.metadata.namespace === namespace && isHeld(claim)) this.#queue.add(keyOf(claim));
    };
    this.#stack.defer(world.groupSnapshots.on({ added: groupChanged, updated: groupChanged, deleted: groupChanged }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stack.dispose();
    await this.#queue.close();
  }

  async #sync(key: string): Promise<void> {
    const { world, client } = this.#context;
    const claim = world.claims.get(key);
    if (claim === undefined) return;
    const unneeded = unneededProtection(claim, {
      snapshots: world.snapshots.byIndex("source", key),
      groups: world.groupSnapshots.list().filter(({ metadata }) => metadata.namespace === claim.metadata.namespace),
      claims: world.claims.byIndex("source", key),
    });
    for (const finalizer of unneeded) await removeFinalizer(client.resource(persistentVolumeClaims), claim, finalizer);
  }
}

interface SourceSpec {
  readonly source: { readonly persistentVolumeClaimName?: string };
}
