import { accessReviews } from "./access-reviews.ts";
import { events, eventsV1 } from "./core/events.ts";
import { namespacesOf } from "./core/namespaces.ts";
import { nodes } from "./core/nodes.ts";
import { configMaps, leases, runtimeClasses, secrets, serviceAccounts } from "./core/small-resources.ts";
import { pods } from "./pods/pods.ts";
import type { ResourceDefinition } from "./resource.ts";
import {
  csiDrivers,
  csiNodes,
  csiStorageCapacities,
  persistentVolumeClaims,
  persistentVolumes,
  storageClasses,
  volumeAttachments,
} from "./storage/storage-resources.ts";

/** Every resource that the server serves, found by group, version and plural. */
export class Resources {
  readonly all: readonly ResourceDefinition[];
  readonly #byPath: ReadonlyMap<string, ResourceDefinition>;

  constructor(caCertificate: string) {
    this.all = [
      ...[
        configMaps,
        events,
        namespacesOf(caCertificate),
        nodes,
        persistentVolumeClaims,
        persistentVolumes,
        pods,
        secrets,
        serviceAccounts,
      ],
      ...[
        storageClasses,
        volumeAttachments,
        csiDrivers,
        csiNodes,
        csiStorageCapacities,
        leases,
        runtimeClasses,
        eventsV1,
      ],
      ...accessReviews,
    ];
    this.#byPath = new Map(this.all.map((each) => [`${each.group}/${each.version}/${each.plural}`, each]));
  }

  find(group: string, version: string, plural: string): ResourceDefinition | undefined {
    return this.#byPath.get(`${group}/${version}/${plural}`);
  }
}

const allVerbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/** The verbs that a resource itself serves. */
export const verbsOf = (resource: ResourceDefinition): readonly string[] =>
  resource.virtual === "create-only" ? ["create"] : allVerbs;
