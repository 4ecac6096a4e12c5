import type { APIGroupList, APIResourceList, APIVersions } from "@tripod/api/kubernetes";
import { messageOf } from "@tripod/base";
import type { KubeClient, ResourceRef } from "@tripod/kube";

/** Namespaced resources that can be listed and deleted, and what of the discovery failed. */
export interface NamespacedResources {
  readonly resources: readonly ResourceRef[];
  readonly failures: readonly string[];
}

/** Asks the API server for every resource that a namespace can hold, each in its group's preferred version. */
export async function namespacedResources(client: KubeClient): Promise<NamespacedResources> {
  const failures: string[] = [];
  const found = new Map<string, ResourceRef>();
  const read = async (path: string, group: string, version: string): Promise<void> => {
    try {
      // The documented reply of a group and version's root.
      const list = (await client.request({ method: "GET", path })) as APIResourceList;
      for (const each of list.resources) {
        if (
          !each.namespaced ||
          each.name.includes("/") ||
          !each.verbs.includes("delete") ||
          !each.verbs.includes("list")
        )
          continue;
        found.set(`${group}/${each.name}`, { group, version, plural: each.name, kind: each.kind });
      }
    } catch (error) {
      failures.push(`${path}: ${messageOf(error)}`);
    }
  };
  try {
    // The documented replies of /api and /apis.
    const core = (await client.request({ method: "GET", path: "/api" })) as APIVersions;
    for (const version of core.versions) await read(`/api/${version}`, "", version);
    const groups = (await client.request({ method: "GET", path: "/apis" })) as APIGroupList;
    for (const group of groups.groups) {
      const version = group.preferredVersion?.version ?? group.versions[0]?.version;
      if (version !== undefined) await read(`/apis/${group.name}/${version}`, group.name, version);
    }
  } catch (error) {
    failures.push(messageOf(error));
  }
  return { resources: [...found.values()], failures };
}

/** What a namespace still holds after everything in it was asked to go. */
export interface Remaining {
  /** Objects by resource, "pods" or "leases.coordination.k8s.io". */
  readonly counts: ReadonlyMap<string, number>;
  /** Objects by the finalizer that they wait for. */
  readonly finalizers: ReadonlyMap<string, number>;
  readonly failures: readonly string[];
}

/** Deletes everything of a namespace; Pods first, so that what they use is there until they have ended. */
export async function deleteContent(
  client: KubeClient,
  namespace: string,
  resources: readonly ResourceRef[],
  signal: AbortSignal,
): Promise<Remaining> {
  const counts = new Map<string, number>();
  const finalizers = new Map<string, number>();
  const failures: string[] = [];
  const isPods = (ref: ResourceRef): boolean => ref.group === "" && ref.plural === "pods";
  const ordered = [...resources].sort((a, b) => Number(isPods(b)) - Number(isPods(a)));
  for (const ref of ordered) {
    // Events about the end of the Pods are still to come.
    if (!isPods(ref) && (counts.get("pods") ?? 0) > 0) break;
    const name = ref.group === "" ? ref.plural : `${ref.plural}.${ref.group}`;
    const resource = client.resource(ref);
    try {
      const { items } = await resource.list({ namespace, signal });
      for (const item of items)
        if (item.metadata.deletionTimestamp === undefined)
          await resource
            .delete(item.metadata.name, { namespace, signal, propagationPolicy: "Background" })
            .catch((error: unknown) => {
              failures.push(`${name}/${item.metadata.name}: ${messageOf(error)}`);
            });
      const left = items.length === 0 ? [] : (await resource.list({ namespace, signal })).items;
      if (left.length > 0) counts.set(name, left.length);
      for (const item of left)
        for (const finalizer of item.metadata.finalizers ?? [])
          finalizers.set(finalizer, (finalizers.get(finalizer) ?? 0) + 1);
    } catch (error) {
      failures.push(`${name}: ${messageOf(error)}`);
    }
  }
  return { counts, finalizers, failures: failures.filter((failure) => !failure.includes("not found")) };
}
