import { ControllerServiceCapability_RPC_Type as Rpc } from "@tripod/api/csi";
import type { PersistentVolume, PersistentVolumeClaim, Stored } from "@tripod/api/kubernetes";
import { codeOf, failpoint, messageOf, TripodError } from "@tripod/base";
import { isFinalFailure } from "@tripod/csi/expansion";
import { persistentVolumes } from "@tripod/kube";
import { withSpan } from "@tripod/trace";
import { callOptions } from "../csi/call-options.ts";
import type { ControllerContext } from "../context.ts";
import { readSecretsAgain } from "../csi/secrets.ts";
import { annotations } from "../volumes/annotations.ts";
import { type ClaimTask, ClaimWork } from "../volumes/claim-work.ts";
import { patchClaimStatus } from "../volumes/patch-claim-status.ts";
import { decideModification, type ModificationDecision, wantsModification } from "./decide-modification.ts";
import { begunPatch, cancelledPatch, failedPatch, modifiedPatch, waitingPatch } from "./modification-patches.ts";

/** Has drivers give volumes the attributes of the VolumeAttributesClass that their claims name. */
export class VolumeModifier implements AsyncDisposable {
  readonly #context: ControllerContext;
  readonly #work: ClaimWork;
  readonly #stack = new AsyncDisposableStack();

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#work = this.#stack.use(
      new ClaimWork(context, {
        name: "volume modifier",
        wants: wantsModification,
        isNews: (claim, { spec }) => claim.spec.volumeAttributesClassName !== spec.volumeAttributesClassName,
        sync: (claim, volume, signal) => this.#sync(claim, volume, signal),
      }),
    );
    this.#stack.defer(context.world.attributesClasses.on({ added: () => this.#work.lookAtAll() }));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }

  async #sync(
    seen: Stored<PersistentVolumeClaim>,
    volume: Stored<PersistentVolume>,
    signal: AbortSignal,
  ): Promise<void> {
    const { world, csi } = this.#context;
    const driver = csi.get(volume.spec.csi?.driver ?? "");
    if (driver === undefined || !wantsModification(seen, volume)) return;
    const claim = await this.#work.latest(seen, signal);
    if (claim === undefined || !wantsModification(claim, volume)) return;
    const memory = this.#work.memoryOf(claim);
    const decision = decideModification(claim, {
      hasFailed: memory.hasFailed,
      isThere: (attributesClass) => world.attributesClasses.get(attributesClass) !== undefined,
    });
    const { namespace, name } = claim.metadata;
    const attributes = { "claim.namespace": namespace, "claim.name": name, "csi.driver": driver.name };
    await withSpan(`volume-modifier.${decision.kind}`, attributes, () =>
      this.#apply({ claim, volume, driver, memory }, decision, signal),
    );
  }

  async #apply(modification: ClaimTask, decision: ModificationDecision, signal: AbortSignal): Promise<void> {
    const { claim, memory } = modification;
    switch (decision.kind) {
      case "none":
        return;
      case "cancel":
        await patchClaimStatus(this.#context.client, claim, cancelledPatch(claim));
        this.#work.tell(modification, "Normal", "VolumeModifyCanceled", "Cancelled modify.");
        return;
      case "wait":
        if (memory.told !== decision.target)
          this.#work.tell(modification, "Warning", "VolumeModifyFailed", `VAC "${decision.target}" does not exist.`);
        memory.told = decision.target;
        if (decision.isNew && claim.status?.modifyVolumeStatus?.status !== "Pending")
          await patchClaimStatus(this.#context.client, claim, waitingPatch(claim));
        return; // its coming brings us back
      case "modify":
        if (!this.#work.isRefused(modification, decision.target)) await this.#modify(modification, decision, signal);
    }
  }

  async #modify(
    modification: ClaimTask,
    { target, isNew }: { readonly target: string; readonly isNew: boolean },
    signal: AbortSignal,
  ): Promise<void> {
    const { volume, memory } = modification;
    let { claim } = modification;
    if (isNew) {
      claim = await patchClaimStatus(this.#context.client, claim, begunPatch(claim, target));
      const message = `external resizer is modifying volume ${claim.metadata.name} with vac ${target}`;
      this.#work.tell(modification, "Normal", "VolumeModify", message);
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
    this.#work.tell(modification, "Normal", "VolumeModifySuccessful", message);
  }

  /** Asks the driver; false when it says that this can never be, which the claim then says, too. */
  async #ask(modification: ClaimTask, target: string, signal: AbortSignal): Promise<boolean> {
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
      await driver.controller.controllerModifyVolume(request, callOptions(signal));
      return true;
    } catch (error) {
      if (signal.aborted) throw error;
      memory.hasFailed = isFinalFailure(codeOf(error));
      await patchClaimStatus(client, claim, failedPatch(claim, target, error));
      failpoint("controllers.modifier.failure-saved");
      const end = memory.hasFailed ? "" : `. Still modifying to VAC ${target}`;
      this.#work.tell(modification, "Warning", "VolumeModifyFailed", `${messageOf(error)}${end}`);
      if (codeOf(error) !== "invalid") throw error;
      this.#work.refuse(modification, target);
      return false;
    }
  }
}

/** The secret that a volume is modified with: that of its annotations, else the one that it grows with. */
function modifySecret({ metadata, spec }: PersistentVolume) {
  const { [annotations.modifySecretName]: name, [annotations.modifySecretNamespace]: namespace } =
    metadata.annotations ?? {};
  return name === undefined || namespace === undefined ? spec.csi?.controllerExpandSecretRef : { name, namespace };
}
