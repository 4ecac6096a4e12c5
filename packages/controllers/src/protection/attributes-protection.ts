import type { PersistentVolume, PersistentVolumeClaim } from "@tripod/api/kubernetes";
import { persistentVolumeClaims, persistentVolumes, volumeAttributesClasses, WorkQueue } from "@tripod/kube";
import type { ControllerContext } from "../context.ts";
import { addFinalizer, removeFinalizer } from "../finalizers.ts";
import { attributesFinalizer, attributesOf, protectAttributes } from "./decide-protection.ts";

/** Keeps VolumeAttributesClasses that claims or volumes have from being deleted under them. */
export class AttributesProtection implements AsyncDisposable {
  readonly #context: ControllerContext;
  readonly #queue: WorkQueue;
  readonly #stack = new DisposableStack();

  constructor(context: ControllerContext) {
    this.#context = context;
    const { world, log } = context;
    this.#queue = new WorkQueue({ name: "attributes protection", log }, (name) => this.#sync(name));
    const changed = ({ metadata }: { metadata: { name: string } }): void => this.#queue.add(metadata.name);
    this.#stack.defer(world.attributesClasses.on({ added: changed, updated: changed }));
    const left = (object: PersistentVolumeClaim | PersistentVolume): void => {
      for (const name of attributesOf(object)) this.#queue.add(name);
    };
    const handler = {
      updated: (_now: unknown, previous: PersistentVolumeClaim | PersistentVolume) => left(previous),
      deleted: left,
    };
    this.#stack.defer(world.claims.on(handler));
    this.#stack.defer(world.volumes.on(handler));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stack.dispose();
    await this.#queue.close();
  }

  async #sync(name: string): Promise<void> {
    const { world, client } = this.#context;
    const found = world.attributesClasses.get(name);
    if (found === undefined) return;
    const resource = client.resource(volumeAttributesClasses);
    const decision = protectAttributes(found, [...world.claims.list(), ...world.volumes.list()]);
    if (decision === "add") await addFinalizer(resource, found, attributesFinalizer);
    if (decision !== "remove") return;
    // The caches may lag behind a claim that was just made, whose volume is about to get the attributes.
    const claims = await client.resource(persistentVolumeClaims).list();
    const volumes = await client.resource(persistentVolumes).list();
    if (protectAttributes(found, [...claims.items, ...volumes.items]) === "remove")
      await removeFinalizer(resource, found, attributesFinalizer);
  }
}
