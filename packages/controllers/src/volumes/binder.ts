import { keyOf, type PersistentVolume, type PersistentVolumeClaim, type Stored } from "@tripod/api/kubernetes";
import { failpoint } from "@tripod/base";
import { type EventRecorder, persistentVolumeClaims, persistentVolumes, WorkQueue } from "@tripod/kube";
import { inTreeDriverOf, inTreeDriverOfProvisioner, migratedTo, standInMessage } from "@tripod/csi/migration";
import { withSpan } from "@tripod/trace";
import type { ControllerContext } from "../context.ts";
import { annotations } from "./annotations.ts";
import { boundStatus } from "./bound-status.ts";
import { type ClaimDecision, decideClaim, decideVolume } from "./decide-claim.ts";
import { patchClaimStatus } from "./patch-claim-status.ts";
import { isFinished } from "./pod-claims.ts";
import { claimReference, refersTo } from "./volume-state.ts";

/** Volumes that come in numbers must not have every waiting claim looked at for each. */
const wakeEveryMs = 200;

/** Joins claims and volumes and keeps their phases. Every write can be repeated; a crash between two is mended by the next look. */
export class VolumeBinder implements AsyncDisposable {
  readonly #context: ControllerContext;
  readonly #recorder: EventRecorder;
  readonly #claims: WorkQueue;
  readonly #volumes: WorkQueue;
  readonly #stack = new DisposableStack();
  /** Classes whose claims are to be looked at. */
  readonly #toWake = new Set<string>();
  #waking: NodeJS.Timeout | undefined;
  #wokenAtMs = -wakeEveryMs;
  /** The last event told of each claim, so that looking again does not tell it again. */
  readonly #told = new Map<string, string>();

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#recorder = context.recorder("persistentvolume-controller");
    const { world, log } = context;
    // One worker for claims: two must not choose the same volume.
    this.#claims = new WorkQueue({ name: "claim binder", log, concurrency: 1, longestDelayMs: 15_000 }, (key) =>
      this.#syncClaim(key),
    );
    this.#volumes = new WorkQueue({ name: "volume binder", log, longestDelayMs: 15_000 }, (key) =>
      this.#syncVolume(key),
    );
    const claimChanged = (claim: Stored<PersistentVolumeClaim>): void => {
      this.#claims.add(keyOf(claim));
      if (claim.spec.volumeName !== undefined) this.#volumes.add(claim.spec.volumeName);
    };
    this.#stack.defer(
      world.claims.on({
        added: claimChanged,
        updated: claimChanged,
        deleted: (claim) => {
          this.#told.delete(claim.metadata.uid);
          for (const volume of context.pool.namedBy(keyOf(claim))) this.#volumes.add(volume.metadata.name);
        },
      }),
    );
    const volumeChanged = (volume: Stored<PersistentVolume>): void => {
      this.#volumes.add(volume.metadata.name);
      const reference = volume.spec.claimRef;
      if (reference !== undefined) this.#claims.add(`${reference.namespace}/${reference.name}`);
      else this.#wakeClaimsOf(volume.spec.storageClassName ?? "");
    };
    this.#stack.defer(
      world.volumes.on({
        added: volumeChanged,
        deleted: volumeChanged,
        updated: (volume, previous) => {
          volumeChanged(volume);
          // Given to another claim, as populators do, it is lost to the one that it was bound to.
          if (previous.spec.claimRef?.uid !== volume.spec.claimRef?.uid) volumeChanged(previous);
        },
      }),
    );
    const classChanged = (storageClass: { metadata: { name: string } }): void => {
      this.#wakeClaimsOf(storageClass.metadata.name);
      this.#wakeClaimsOf("");
    };
    this.#stack.defer(world.classes.on({ added: classChanged, updated: classChanged }));
    // A claim that waits for a Pod says for which.
    this.#stack.defer(
      world.pods.on({
        added: (pod) => {
          if (pod.spec.nodeName === undefined)
            for (const volume of pod.spec.volumes ?? [])
              if (volume.persistentVolumeClaim !== undefined)
                this.#claims.add(`${pod.metadata.namespace}/${volume.persistentVolumeClaim.claimName}`);
        },
      }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stack.dispose();
    clearTimeout(this.#waking);
    await Promise.all([this.#claims.close(), this.#volumes.close()]);
  }

  /** Has all claims of a class that have no volume looked at: soon, together for all the volumes that come meanwhile. */
  #wakeClaimsOf(storageClass: string): void {
    this.#toWake.add(storageClass);
    this.#waking ??= setTimeout(
      () => {
        this.#waking = undefined;
        this.#wokenAtMs = performance.now();
        for (const name of this.#toWake)
          for (const claim of this.#context.world.claims.byIndex("class", name))
            if (claim.spec.volumeName === undefined) this.#claims.add(keyOf(claim));
        this.#toWake.clear();
      },
      Math.max(0, this.#wokenAtMs + wakeEveryMs - performance.now()),
    );
  }

  async #syncClaim(key: string): Promise<void> {
    const { world } = this.#context;
    const claim = world.claims.get(key);
    if (claim === undefined) return;
    const waiting = world.pods
      .byIndex("claim", key)
      .find(
        (pod) => pod.spec.nodeName === undefined && !isFinished(pod) && pod.metadata.deletionTimestamp === undefined,
      );
    const defaults = world.classes
      .list()
      .filter((each) => each.metadata.annotations?.[annotations.defaultClass] === "true")
      .sort((a, b) => b.metadata.creationTimestamp.localeCompare(a.metadata.creationTimestamp));
    const decision = decideClaim(claim, {
      pool: this.#context.pool,
      volume: (name) => world.volumes.get(name),
      class: (name) => world.classes.get(name),
      defaultClass: defaults[0]?.metadata.name,
      waitingPod: waiting?.metadata.name,
    });
    await this.#apply(claim, decision);
  }

  async #apply(claim: Stored<PersistentVolumeClaim>, decision: ClaimDecision): Promise<void> {
    const claims = this.#context.client.resource(persistentVolumeClaims);
    const { name, namespace = "default", resourceVersion } = claim.metadata;
    switch (decision.kind) {
      case "bind":
        await this.#bind(claim, decision.volume);
        return;
      case "set-class":
        await claims.patch(
          name,
          { metadata: { resourceVersion }, spec: { storageClassName: decision.class } },
          { namespace },
        );
        return;
      case "provision": {
        await this.#setPhase(claim, "Pending");
        const own = inTreeDriverOfProvisioner(decision.provisioner);
        const provisioner = own === undefined ? decision.provisioner : this.#context.serving.of(own);
        const message = `Waiting for a volume to be created either by the external provisioner '${provisioner}' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered.`;
        this.#tell(claim, "Normal", "ExternalProvisioning", message);
        if (claim.metadata.annotations?.[annotations.storageProvisioner] === provisioner) return;
        if (own !== undefined && own !== provisioner) this.#tellStandIn(claim, own, provisioner);
        const marks = {
          [annotations.storageProvisioner]: provisioner,
          [annotations.betaStorageProvisioner]: provisioner,
          ...(own === undefined ? {} : { [annotations.migratedTo]: provisioner }),
        };
        await claims.patch(name, { metadata: { resourceVersion, annotations: marks } }, { namespace });
        return;
      }
      case "wait":
        await this.#setPhase(claim, "Pending");
        if (decision.reason !== undefined)
          this.#tell(claim, decision.warning === true ? "Warning" : "Normal", decision.reason, decision.message ?? "");
        return;
      case "lost":
        await this.#setPhase(claim, "Lost");
        this.#tell(claim, "Warning", decision.reason, decision.message);
    }
  }

  #tell(claim: Stored<PersistentVolumeClaim>, type: "Normal" | "Warning", reason: string, message: string): void {
    const text = `${reason}\0${message}`;
    if (this.#told.get(claim.metadata.uid) === text) return;
    this.#told.set(claim.metadata.uid, text);
    this.#recorder.record({ about: claim, type, reason, message });
  }

  async #setPhase(claim: Stored<PersistentVolumeClaim>, phase: "Pending" | "Lost"): Promise<void> {
    if (claim.status?.phase === phase) return;
    const patch = { metadata: { uid: claim.metadata.uid }, status: { phase } };
    await patchClaimStatus(this.#context.client, claim, patch);
  }

  /** The four writes, in upstream's order, each only if it is missing. */
  async #bind(claim: Stored<PersistentVolumeClaim>, volume: Stored<PersistentVolume>): Promise<void> {
    const isDone =
      volume.spec.claimRef?.uid === claim.metadata.uid &&
      volume.status?.phase === "Bound" &&
      claim.spec.volumeName === volume.metadata.name &&
      claim.metadata.annotations?.[annotations.bindCompleted] !== undefined &&
      claim.status?.phase === "Bound" &&
      (inTreeDriverOf(volume) === undefined || volume.metadata.annotations?.[migratedTo] !== undefined);
    if (isDone) return;
    const attributes = {
      "claim.namespace": claim.metadata.namespace,
      "claim.name": claim.metadata.name,
      "volume.name": volume.metadata.name,
    };
    await withSpan("binder.bind", attributes, () => this.#write(claim, volume));
  }

  async #write(claim: Stored<PersistentVolumeClaim>, volume: Stored<PersistentVolume>): Promise<void> {
    const { client } = this.#context;
    const volumes = client.resource(persistentVolumes);
    const claims = client.resource(persistentVolumeClaims);
    let boundVolume = await this.#migrated(volume);
    if (volume.spec.claimRef?.uid !== claim.metadata.uid) {
      const changed = structuredClone(boundVolume);
      // Whoever reserved the volume chose; then the controller did not.
      if (!refersTo(volume.spec.claimRef, claim))
        changed.metadata.annotations = { ...changed.metadata.annotations, [annotations.boundByController]: "yes" };
      changed.spec.claimRef = claimReference(claim);
      boundVolume = await volumes.update(changed);
      this.#context.pool.put(boundVolume);
      failpoint("controllers.binder.volume-claimed");
    }
    if (boundVolume.status?.phase !== "Bound") {
      const { name, uid } = boundVolume.metadata;
      await volumes.patch(name, { metadata: { uid }, status: { phase: "Bound" } }, { subresource: "status" });
    }
    let boundClaim = claim;
    if (
      claim.spec.volumeName !== volume.metadata.name ||
      claim.metadata.annotations?.[annotations.bindCompleted] === undefined
    ) {
      const marks = {
        [annotations.bindCompleted]: "yes",
        ...(claim.spec.volumeName === undefined ? { [annotations.boundByController]: "yes" } : {}),
      };
      const { name, namespace = "default", uid } = claim.metadata;
      // A patch: that others write to the claim at the same time, as its provisioner does, is no conflict.
      const patch = { metadata: { uid, annotations: marks }, spec: { volumeName: volume.metadata.name } };
      boundClaim = await claims.patch(name, patch, { namespace });
      failpoint("controllers.binder.claim-bound");
    }
    const status = boundStatus(boundClaim, volume);
    if (status !== undefined) await patchClaimStatus(client, claim, { metadata: { uid: claim.metadata.uid }, status });
    this.#told.delete(claim.metadata.uid);
  }

  /** A volume of a kind that was built in says which driver serves it, once and for all: what is on it is there. */
  async #migrated(volume: Stored<PersistentVolume>): Promise<Stored<PersistentVolume>> {
    const own = inTreeDriverOf(volume);
    if (own === undefined || volume.metadata.annotations?.[migratedTo] !== undefined) return volume;
    const driver = this.#context.serving.of(own);
    const { name, uid } = volume.metadata;
    const patch = { metadata: { uid, annotations: { [migratedTo]: driver } } };
    const changed = await this.#context.client.resource(persistentVolumes).patch(name, patch);
    failpoint("controllers.binder.volume-migrated");
    if (driver !== own) this.#tellStandIn(changed, own, driver);
    return changed;
  }

  #tellStandIn(about: Stored<PersistentVolume> | Stored<PersistentVolumeClaim>, driver: string, standIn: string): void {
    this.#recorder.record({
      about,
      type: "Normal",
      reason: "DriverStandsIn",
      message: standInMessage(driver, standIn),
    });
  }

  async #syncVolume(name: string): Promise<void> {
    const { world, client } = this.#context;
    const volume = world.volumes.get(name);
    if (volume === undefined) return;
    const reference = volume.spec.claimRef;
    const key = reference === undefined ? undefined : `${reference.namespace}/${reference.name}`;
    let claim = key === undefined ? undefined : world.claims.get(key);
    const gone = reference?.uid !== undefined && claim?.metadata.uid !== reference.uid;
    // Releasing a volume may destroy data: the cache may lag behind, so the API server is asked.
    if (gone && volume.status?.phase !== "Released" && reference?.name !== undefined)
      claim = await client
        .resource(persistentVolumeClaims)
        .find(reference.name, { namespace: reference.namespace ?? "default" });
    const decision = decideVolume(volume, claim);
    const volumes = client.resource(persistentVolumes);
    if (decision.kind === "phase") {
      await this.#setVolumeStatus(volume, { phase: decision.phase, reason: null, message: null });
    } else if (decision.kind === "fail") {
      const { reason, message } = decision;
      await this.#setVolumeStatus(volume, { phase: "Failed", reason, message });
      failpoint("controllers.binder.volume-failed");
      this.#recorder.record({ about: volume, type: "Warning", reason, message });
    } else if (decision.kind === "mismatch") {
      this.#tellMismatch(volume, claim);
      return;
    } else if (decision.kind === "unbind") {
      const changed = structuredClone(volume);
      delete changed.spec.claimRef;
      delete changed.metadata.annotations?.[annotations.boundByController];
      await volumes.update(changed);
    }
    if (key !== undefined && claim !== undefined) this.#claims.add(key);
  }

  /** What upstream's users look for in the Events of both. */
  #tellMismatch(volume: Stored<PersistentVolume>, claim: Stored<PersistentVolumeClaim> | undefined): void {
    const event = { type: "Warning", reason: "VolumeMismatch" } as const;
    const ofVolume = `Cannot bind PersistentVolume to requested PersistentVolumeClaim "${claim?.metadata.name}" due to incompatible volumeMode.`;
    this.#recorder.record({ ...event, about: volume, message: ofVolume });
    const ofClaim = `Cannot bind PersistentVolume "${volume.metadata.name}" to requested PersistentVolumeClaim due to incompatible volumeMode.`;
    if (claim !== undefined) this.#recorder.record({ ...event, about: claim, message: ofClaim });
  }

  async #setVolumeStatus({ metadata: { name, uid } }: Stored<PersistentVolume>, status: object): Promise<void> {
    const patch = { metadata: { uid }, status };
    await this.#context.client.resource(persistentVolumes).patch(name, patch, { subresource: "status" });
  }
}
