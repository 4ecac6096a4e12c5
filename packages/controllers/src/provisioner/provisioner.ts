import { ControllerServiceCapability_RPC_Type, type Volume } from "@tripod/api/csi";
import {
  keyOf,
  type KubernetesObject,
  type PersistentVolumeClaim,
  type StorageClass,
  type Stored,
} from "@tripod/api/kubernetes";
import { codeOf, failpoint, messageOf, TripodError } from "@tripod/base";
import { isFinalFailure } from "@tripod/csi/expansion";
import { type EventRecorder, persistentVolumeClaims, persistentVolumes, WorkQueue } from "@tripod/kube";
import { withSpan } from "@tripod/trace";
import { callOptions } from "../csi/call-options.ts";
import { addFinalizer, removeFinalizer } from "../finalizers.ts";
import type { ControllerContext } from "../context.ts";
import type { CsiDriver } from "../csi/csi-drivers.ts";
import { readSecrets } from "../csi/secrets.ts";
import { ignoreExisting } from "../ignore-existing.ts";
import { cloneSourceFinalizer } from "../protection/decide-source-protection.ts";
import { annotations } from "../volumes/annotations.ts";
import { waitsForConsumer } from "../volumes/volume-state.ts";
import { wrongVolume } from "./check-made.ts";
import { decideSource, type VolumeSource } from "./decide-source.ts";
import { isUnwanted, type ProvisionFacts, planProvision, volumeNameOf, volumeObject } from "./plan-provision.ts";

/** Keeps a claim from going while its volume may be half made, so that no storage is left that nobody knows of. */
const provisioningFinalizer = "controllers.tripod.dev/provisioning";
/** Makes volumes through the controller service of the CSI drivers that are registered here. */
export class Provisioner implements AsyncDisposable {
  readonly #context: ControllerContext;
  readonly #claims: WorkQueue;
  readonly #stack = new DisposableStack();

  constructor(context: ControllerContext) {
    this.#context = context;
    const { world, log } = context;
    const options = { name: "provisioner", log, concurrency: 10, firstDelayMs: 500, longestDelayMs: 60_000 };
    this.#claims = new WorkQueue(options, (key, signal) => this.#syncClaim(key, signal));
    const claimChanged = (claim: Stored<PersistentVolumeClaim>, previous?: Stored<PersistentVolumeClaim>): void => {
      const own = this.#driverOf(claim);
      const held = claim.metadata.finalizers?.includes(provisioningFinalizer) === true;
      if (!held && (own === undefined || claim.spec.volumeName !== undefined)) return;
      const key = keyOf(claim);
      // Its own writes are no reason to skip the wait after a failure; a new choice of node or a deletion is.
      const same =
        previous !== undefined &&
        previous.metadata.annotations?.[annotations.selectedNode] ===
          claim.metadata.annotations?.[annotations.selectedNode] &&
        previous.metadata.deletionTimestamp === claim.metadata.deletionTimestamp &&
        previous.metadata.annotations?.[annotations.storageProvisioner] ===
          claim.metadata.annotations?.[annotations.storageProvisioner];
      if (same && this.#claims.failuresOf(key) > 0) return;
      this.#claims.add(key);
    };
    this.#stack.defer(world.claims.on({ added: (claim) => claimChanged(claim), updated: claimChanged }));
    const lookAgain = (): void => {
      for (const claim of world.claims.list()) claimChanged(claim);
    };
    this.#stack.defer(context.csi.onRegistered(lookAgain));
    this.#stack.defer(world.classes.on({ added: lookAgain }));
    this.#stack.defer(world.attributesClasses.on({ added: lookAgain }));
    const sourceChanged = (source: Stored<KubernetesObject>): void => {
      for (const claim of world.claims.byIndex("source", keyOf(source)))
        if (claim.spec.volumeName === undefined) this.#claims.add(keyOf(claim));
    };
    this.#stack.defer(world.snapshots.on({ added: sourceChanged, updated: sourceChanged }));
    this.#stack.defer(world.claims.on({ added: sourceChanged, updated: sourceChanged }));
    this.#stack.defer(world.csiNodes.on({ added: lookAgain, updated: lookAgain }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stack.dispose();
    await this.#claims.close();
  }

  #recorder(driver: string): EventRecorder {
    return this.#context.recorder(`${driver}_tripod`);
  }

  /** The driver that is to provision the claim: whom the binder names, or, once the scheduler has decided on that, the class's own. */
  #driverOf(claim: PersistentVolumeClaim): string | undefined {
    const { world, serving } = this.#context;
    const { [annotations.storageProvisioner]: named, [annotations.selectedNode]: selected } =
      claim.metadata.annotations ?? {};
    if (named !== undefined || selected === undefined) return named;
    const storageClass = world.classes.get(claim.spec.storageClassName ?? "");
    return storageClass === undefined ? undefined : serving.provisionerOf(storageClass);
  }

  async #syncClaim(key: string, signal: AbortSignal): Promise<void> {
    const { world, csi, serving } = this.#context;
    const claim = world.claims.get(key);
    if (claim === undefined) return;
    const held = claim.metadata.finalizers?.includes(provisioningFinalizer) === true;
    const madeFor = world.volumes.get(volumeNameOf(claim));
    if (claim.spec.volumeName === volumeNameOf(claim) || madeFor !== undefined) {
      if (held) await this.#release(claim);
      return;
    }
    const driverName = this.#driverOf(claim) ?? "";
    const driver = csi.get(driverName);
    const named = world.classes.get(claim.spec.storageClassName ?? "");
    const selected = claim.metadata.annotations?.[annotations.selectedNode];
    const unwanted = isUnwanted(claim);
    if (unwanted && !held) return;
    if (driver === undefined || named === undefined || serving.provisionerOf(named) !== driver.name) {
      // The finalizer holds the claim, so whoever waits for it must learn why.
      if (unwanted) {
        const missing =
          driver === undefined ? `CSI driver "${driverName}"` : `storage class "${claim.spec.storageClassName}"`;
        const message = `cannot find out whether a volume was made for this claim: ${missing} is not there`;
        // By who is known: the driver's name may be any that the claim's user writes, and each recorder stays.
        this.#context
          .recorder("persistentvolume-controller")
          .record({ about: claim, type: "Warning", reason: "ProvisioningCleanupFailed", message });
      }
      return;
    }
    if (!unwanted && waitsForConsumer(named) && selected === undefined) return;
    const storageClass = this.#orTell({ claim, class: named }, driver, () => serving.classOf(named));
    const source = this.#source(claim, { class: storageClass, driver });
    if (source.kind === "populator") return;
    const nodes = world.nodes
      .list()
      .filter((node) => selected === undefined || node.metadata.name === selected)
      .map((node) => ({ node, csiNode: world.csiNodes.get(node.metadata.name) }));
    const facts: ProvisionFacts = {
      claim,
      class: storageClass,
      attributes: world.attributesClasses.get(claim.spec.volumeAttributesClassName ?? ""),
      driver,
      nodes,
      hasSelectedNode: selected !== undefined,
      ...(source.kind === "copy" ? { source: source.source } : {}),
    };
    if (source.kind === "copy" && source.claim !== undefined && !unwanted) {
      await addFinalizer(this.#context.client.resource(persistentVolumeClaims), source.claim, cloneSourceFinalizer);
      failpoint("controllers.provisioner.source-held");
    }
    const attributes = {
      "claim.namespace": claim.metadata.namespace,
      "claim.name": claim.metadata.name,
      "csi.driver": driver.name,
    };
    await withSpan("provisioner.provision", attributes, () => this.#provision(facts, driver, signal));
  }

  /** What the volume begins with; who waits for that is told what it waits for. */
  #source(
    claim: Stored<PersistentVolumeClaim>,
    { class: storageClass, driver }: { readonly class: StorageClass; readonly driver: CsiDriver },
  ): VolumeSource {
    const { world } = this.#context;
    const find = (): VolumeSource =>
      decideSource(claim, {
        class: storageClass,
        rpcs: driver.rpcs,
        snapshot: (key) => world.snapshots.get(key),
        content: (name) => world.snapshotContents.get(name),
        claim: (key) => world.claims.get(key),
        volume: (name) => world.volumes.get(name),
      });
    const source = this.#orTell({ claim, class: storageClass }, driver, find);
    if (source.kind === "populator")
      this.#recorder(driver.name).record({
        about: claim,
        type: "Normal",
        reason: "Provisioning",
        message: "Assuming an external populator will provision the volume",
      });
    return source;
  }

  /** What `find` returns; whoever waits for the volume is told what it throws. */
  #orTell<T>(facts: Pick<ProvisionFacts, "claim" | "class">, driver: CsiDriver, find: () => T): T {
    try {
      return find();
    } catch (error) {
      this.#tellFailure(facts, error, driver);
      throw error;
    }
  }

  async #provision(facts: ProvisionFacts, driver: CsiDriver, signal: AbortSignal): Promise<void> {
    const { claim } = facts;
    const recorder = this.#recorder(driver.name);
    const key = keyOf(claim);
    const { client } = this.#context;
    try {
      if (!driver.rpcs.has(ControllerServiceCapability_RPC_Type.CREATE_DELETE_VOLUME))
        throw new TripodError(
          "unimplemented",
          `driver ${driver.name} cannot create volumes; create a PersistentVolume by hand`,
        );
      if (facts.hasSelectedNode && facts.nodes.length === 0) {
        await this.#reschedule(claim, signal);
        return;
      }
      const plan = planProvision(facts);
      const secrets = await readSecrets(client, plan.secrets.provisioner, signal);
      let current = claim;
      if (!isUnwanted(claim)) {
        recorder.record({
          about: claim,
          type: "Normal",
          reason: "Provisioning",
          message: `External provisioner is provisioning volume for claim "${key}"`,
        });
        current = await this.#hold(claim);
      }
      failpoint("controllers.provisioner.claim-held");
      const held = { held: current, hasSelectedNode: facts.hasSelectedNode };
      const volume = await this.#create(driver, held, { ...plan.request, secrets }, signal);
      failpoint("controllers.provisioner.volume-made");
      const asked = { plan, driver: driver.name, hasSource: facts.source !== undefined };
      const wrong = wrongVolume(volume, asked, this.#context.world.volumes.list());
      const refused =
        wrong && new TripodError("corrupt", `driver ${driver.name} gave a volume that cannot be: ${wrong.why}`);
      if (volume === undefined || wrong?.kind === "foreign") {
        await this.#release(current);
        throw refused;
      }
      if (isUnwanted(claim) || refused !== undefined) {
        // Nobody wants it any more. The call above told its id, whoever had made it.
        await driver.controller.deleteVolume({ volumeId: volume.volumeId, secrets }, callOptions(signal));
        await this.#release(current);
        if (refused !== undefined) throw refused;
        return;
      }
      const made = volumeObject({ ...facts, claim: current }, plan, volume);
      await ignoreExisting(client.resource(persistentVolumes).create(made, { signal }));
      failpoint("controllers.provisioner.volume-saved");
      recorder.record({
        about: claim,
        type: "Normal",
        reason: "ProvisioningSucceeded",
        message: `Successfully provisioned volume ${plan.name}`,
      });
      await this.#release(current);
    } catch (error) {
      if (signal.aborted || codeOf(error) === "conflict") throw error;
      // The driver registers on its node a moment after its socket appears; that alone is not worth an event.
      if (codeOf(error) !== "failed-precondition" || this.#claims.failuresOf(key) >= 2)
        this.#tellFailure(facts, error, driver);
      throw error;
    }
  }

  /** Asks the driver. After a clear no there is nothing half made: the claim may go, or be looked at anew. */
  async #create(
    driver: CsiDriver,
    { held, hasSelectedNode }: { readonly held: Stored<PersistentVolumeClaim>; readonly hasSelectedNode: boolean },
    request: Parameters<CsiDriver["controller"]["createVolume"]>[0],
    signal: AbortSignal,
  ): Promise<Volume | undefined> {
    try {
      return (await driver.controller.createVolume(request, callOptions(signal))).volume;
    } catch (error) {
      const code = codeOf(error);
      // A driver without room has made nothing.
      if (signal.aborted || !(isFinalFailure(code) || code === "exhausted")) throw error;
      await this.#release(held);
      if (code === "exhausted" && hasSelectedNode && !isUnwanted(held)) await this.#reschedule(held, signal);
      throw error;
    }
  }

  #tellFailure(
    { claim, class: { metadata } }: Pick<ProvisionFacts, "claim" | "class">,
    error: unknown,
    driver: CsiDriver,
  ): void {
    this.#recorder(driver.name).record({
      about: claim,
      type: "Warning",
      reason: "ProvisioningFailed",
      message: `failed to provision volume with StorageClass "${metadata.name}": ${messageOf(error)}`,
    });
  }

  /** Takes the choice of node back, so that the scheduler looks for another. */
  async #reschedule(claim: Stored<PersistentVolumeClaim>, signal: AbortSignal): Promise<void> {
    const { name, namespace = "default", uid } = claim.metadata;
    const patch = { metadata: { uid, annotations: { [annotations.selectedNode]: null } } };
    await this.#context.client.resource(persistentVolumeClaims).patch(name, patch, { namespace, signal });
  }

  async #hold(claim: Stored<PersistentVolumeClaim>): Promise<Stored<PersistentVolumeClaim>> {
    return addFinalizer(this.#context.client.resource(persistentVolumeClaims), claim, provisioningFinalizer);
  }

  async #release(claim: Stored<PersistentVolumeClaim>): Promise<void> {
    await removeFinalizer(this.#context.client.resource(persistentVolumeClaims), claim, provisioningFinalizer);
  }
}
