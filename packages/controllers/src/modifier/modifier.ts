import { ControllerServiceCapability_RPC_Type as Rpc } from "@tripod/api/csi";
import { keyOf, type PersistentVolume, type PersistentVolumeClaim, type Stored } from "@tripod/api/kubernetes";
import { codeOf, failpoint, messageOf, TripodError } from "@tripod/base";
import { isFinalFailure } from "@tripod/csi/expansion";
import { persistentVolumeClaims, persistentVolumes, WorkQueue } from "@tripod/kube";
import { withSpan } from "@tripod/trace";
import type { ControllerContext } from "../context.ts";
import type { CsiDriver } from "../csi/csi-drivers.ts";
import { readSecretsAgain } from "../csi/secrets.ts";
import { annotations } from "../volumes/annotations.ts";
import { ClaimMemories, type ClaimMemory } from "../volumes/claim-memory.ts";
import { patchClaimStatus } from "../volumes/patch-claim-status.ts";
import { decideModification, type ModificationDecision, wantsModification } from "./decide-modification.ts";
import { begunPatch, cancelledPatch, failedPatch, modifiedPatch, waitingPatch } from "./modification-patches.ts";

const callTimeoutMs = 60_000;
/** What can never be is tried again so often, for the driver may have learnt it. */
const refusedRetryMs = 300_000;

interface Modification {
  readonly claim: Stored<PersistentVolumeClaim>;
  readonly volume: Stored<PersistentVolume>;
  readonly driver: CsiDriver;
  readonly memory: ClaimMemory;
}

/** Has drivers give volumes the attributes of the VolumeAttributesClass that their claims name. */
export class VolumeModifier implements AsyncDisposable {
  readonly #context: ControllerContext;
  readonly #queue: WorkQueue;
  readonly #stack = new DisposableStack();
  readonly #memories = new ClaimMemories();

  constructor(context: ControllerContext) {
    this.#context = context;
    const { world, log, csi } = context;
    const options = { name: "volume modifier", log, concurrency: 10, firstDelayMs: 500, longestDelayMs: 300_000 };
    this.#queue = new WorkQueue(options, (key, signal) => this.#sync(key, signal));
    this.#stack.defer(
      world.claims.on({
        added: (claim) => this.#look(claim),
        updated: (claim, previous) => {
          // Its own writes must not hasten what has failed.
          const isNews = claim.spec.volumeAttributesClassName !== previous.spec.volumeAttributesClassName;
          if (this.#queue.failuresOf(keyOf(claim)) === 0 || isNews) this.#look(claim);
        },
        deleted: (claim) => this.#memories.forget(claim),
      }),
    );
    const lookAtAll = (): void => {
      for (const claim of world.claims.list()) this.#look(claim);
    };
    this.#stack.defer(csi.onRegistered(lookAtAll));
    this.#stack.defer(world.attributesClasses.on({ added: lookAtAll }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stack.dispose();
    await this.#queue.close();
  }

  #volumeOf({ spec }: PersistentVolumeClaim): Stored<PersistentVolume> | undefined {
    return spec.volumeName === undefined ? undefined : this.#context.world.volumes.get(spec.volumeName);
  }

  #look(claim: Stored<PersistentVolumeClaim>): void {
    const volume = this.#volumeOf(claim);
    if (volume !== undefined && wantsModification(claim, volume)) this.#queue.add(keyOf(claim));
  }

  async #sync(key: string, signal: AbortSignal): Promise<void> {
    const { world, csi, client } = this.#context;
    const seen = world.claims.get(key);
    const volume = seen === undefined ? undefined : this.#volumeOf(seen);
    if (seen === undefined || volume === undefined || !wantsModification(seen, volume)) return;
    const driver = csi.get(volume.spec.csi?.driver ?? "");
    if (driver === undefined) return;
    // Drivers are not asked for what a cache remembers: it may not have seen what was written last.
    const { namespace = "default", name, uid } = seen.metadata;
    const claim = await client.resource(persistentVolumeClaims).find(name, { namespace, signal });
    if (claim?.metadata.uid !== uid || !wantsModification(claim, volume)) return;
    const memory = this.#memories.of(claim);
    const decision = decideModification(claim, {
      hasFailed: memory.hasFailed,
      isThere: (attributesClass) => world.attributesClasses.get(attributesClass) !== undefined,
    });
    const attributes = { "claim.namespace": namespace, "claim.name": name, "csi.driver": driver.name };
    await withSpan(`volume-modifier.${decision.kind}`, attributes, () =>
      this.#apply({ claim, volume, driver, memory }, decision, signal),
    );
  }

  async #apply(modification: Modification, decision: ModificationDecision, signal: AbortSignal): Promise<void> {
    const { claim, memory } = modification;
    switch (decision.kind) {
      case "none":
        return;
      case "cancel":
        await patchClaimStatus(this.#context.client, claim, cancelledPatch(claim));
        this.#tell(modification, "Normal", "VolumeModifyCanceled", "Cancelled modify.");
        return;
      case "wait":
        if (memory.told !== decision.target)
          this.#tell(modification, "Warning", "VolumeModifyFailed", `VAC "${decision.target}" does not exist.`);
        memory.told = decision.target;
        if (decision.isNew && claim.status?.modifyVolumeStatus?.status !== "Pending")
          await patchClaimStatus(this.#context.client, claim, waitingPatch(claim));
        return; // its coming brings us back
      case "modify": {
        const waitMs = memory.waitMs(decision.target);
        if (waitMs > 0) this.#queue.addAfter(keyOf(claim), waitMs);
        else await this.#modify(modification, decision, signal);
      }
    }
  }

  async #modify(
    modification: Modification,
    { target, isNew }: { readonly target: string; readonly isNew: boolean },
    signal: AbortSignal,
  ): Promise<void> {
    const { volume, memory } = modification;
    let { claim } = modification;
    if (isNew) {
      claim = await patchClaimStatus(this.#context.client, claim, begunPatch(claim, target));
      const message = `external resizer is modifying volume ${claim.metadata.name} with vac ${target}`;
      this.#tell(modification, "Normal", "VolumeModify", message);
    }
    failpoint("controllers.modifier.begun");
    if (!(await this.#ask({ ...modification, claim }, target, signal))) return;
    failpoint("controllers.modifier.modified");
    const { name, uid } = volume.metadata;
    const patch = { metadata: { uid }, spec: { volumeAttributesClassName: target } };
    await this.#context.client.resource(persistentVolumes).patch(name, patch);
    failpoint("controllers.modifier.volume-saved");
    await patchClaimStatus(this.#context.client, claim, modifiedPatch(claim, target));
    failpoint("controllers.modifier.claim-saved");
    memory.hasFailed = false;
    const message = `external resizer modified volume ${claim.metadata.name} with vac ${target} successfully`;
    this.#tell(modification, "Normal", "VolumeModifySuccessful", message);
  }

  /** Asks the driver; false when it says that this can never be, which the claim then says, too. */
  async #ask(modification: Modification, target: string, signal: AbortSignal): Promise<boolean> {
    const { claim, volume, driver, memory } = modification;
    const { client, world } = this.#context;
    const attributesClass = world.attributesClasses.get(target);
    try {
      if (!driver.rpcs.has(Rpc.MODIFY_VOLUME))
        throw new TripodError("unimplemented", `driver ${driver.name} cannot modify volumes`);
      if (attributesClass?.driverName !== driver.name)
        throw new TripodError(
          "invalid",
          `VAC ${target} is for driver ${attributesClass?.driverName}, not ${driver.name}`,
        );
      const secrets = await readSecretsAgain(client, modifySecret(volume), signal);
      const volumeId = volume.spec.csi?.volumeHandle ?? "";
      const request = { volumeId, mutableParameters: { ...attributesClass.parameters }, secrets };
      await driver.controller.controllerModifyVolume(request, { signal, timeoutMs: callTimeoutMs });
      return true;
    } catch (error) {
      if (signal.aborted) throw error;
      memory.hasFailed = isFinalFailure(codeOf(error));
      await patchClaimStatus(client, claim, failedPatch(claim, target, error));
      failpoint("controllers.modifier.failure-saved");
      const end = memory.hasFailed ? "" : `. Still modifying to VAC ${target}`;
      this.#tell(modification, "Warning", "VolumeModifyFailed", `${messageOf(error)}${end}`);
      if (codeOf(error) !== "invalid") throw error;
      memory.refuse(target, refusedRetryMs);
      this.#queue.addAfter(keyOf(claim), refusedRetryMs);
      return false;
    }
  }

  #tell({ claim, driver }: Modification, type: "Normal" | "Warning", reason: string, message: string): void {
    this.#context.recorder(`external-resizer ${driver.name}`).record({ about: claim, type, reason, message });
  }
}

/** The secret that a volume is modified with: that of its annotations, else the one that it grows with. */
function modifySecret({ metadata, spec }: PersistentVolume) {
  const { [annotations.modifySecretName]: name, [annotations.modifySecretNamespace]: namespace } =
    metadata.annotations ?? {};
  return name === undefined || namespace === undefined ? spec.csi?.controllerExpandSecretRef : { name, namespace };
}
