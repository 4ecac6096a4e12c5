import type { PersistentVolumeClaim, Stored, VolumePopulator } from "@tripod/api/kubernetes";
import type { EventRecorder } from "@tripod/kube";
import type { ControllerContext } from "../context.ts";

/** Pure: whether anybody fills volumes from a claim's source: the drivers, or a registered populator. */
export function isKnownSource(claim: PersistentVolumeClaim, populators: readonly VolumePopulator[]): boolean {
  const source = claim.spec.dataSourceRef;
  if (source === undefined) return true;
  const { apiGroup: group = "", kind } = source;
  return (
    (group === "" && kind === "PersistentVolumeClaim") ||
    (group === "snapshot.storage.k8s.io" && kind === "VolumeSnapshot") ||
    populators.some(({ sourceKind }) => sourceKind.group === group && sourceKind.kind === kind)
  );
}

/** Tells claims whose source nobody fills volumes from that they wait in vain. */
export class DataSourceValidator implements Disposable {
  readonly #context: ControllerContext;
  readonly #recorder: EventRecorder;
  readonly #stack = new DisposableStack();
  /** Uids of claims that were told. */
  readonly #told = new Set<string>();

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#recorder = context.recorder("volume-data-source-validator");
    const look = (claim: Stored<PersistentVolumeClaim>): void => this.#look(claim);
    this.#stack.defer(
      context.world.claims.on({
        added: look,
        updated: look,
        deleted: ({ metadata }) => this.#told.delete(metadata.uid),
      }),
    );
    this.#stack.defer(
      context.world.populators.on({
        deleted: () => {
          for (const claim of context.world.claims.list()) look(claim);
        },
      }),
    );
  }

  [Symbol.dispose](): void {
    this.#stack.dispose();
  }

  #look(claim: Stored<PersistentVolumeClaim>): void {
    if (claim.spec.volumeName !== undefined) return;
    const { uid } = claim.metadata;
    if (isKnownSource(claim, this.#context.world.populators.list())) this.#told.delete(uid);
    else if (!this.#told.has(uid)) {
      this.#told.add(uid);
      this.#recorder.record({
        about: claim,
        type: "Warning",
        reason: "UnrecognizedDataSourceKind",
        message: "The datasource for this PVC does not match any registered VolumePopulator",
      });
    }
  }
}
