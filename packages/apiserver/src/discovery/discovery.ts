import { type OpenApiResource } from "@tripod/api/kubernetes";
import type { Registry } from "../registry/registry.ts";
import { type Resource, subresourcesOf, verbsOf } from "../registry/resource.ts";

/** What /version says: the Kubernetes release whose behaviour this server has. */
export const serverVersion = {
  major: "1",
  minor: "33",
  gitVersion: "v1.33.0+tripod",
  gitCommit: "",
  gitTreeState: "clean",
  buildDate: "2026-11-01T00:00:00Z",
  goVersion: "none",
  compiler: "none",
  platform: "linux/amd64",
};

interface GroupVersion {
  readonly group: string;
  readonly version: string;
  readonly resources: readonly Resource[];
}

/** The group-versions that are served, core first; of a group the one that clients should take first. */
export function groupVersions(registry: Registry): GroupVersion[] {
  const found = Map.groupBy(registry.all, (each) => `${each.group}/${each.version}`);
  const list = [...found.values()].flatMap((each) =>
    each[0] === undefined ? [] : [{ group: each[0].group, version: each[0].version, resources: each }],
  );
  return list.sort((a, b) => a.group.localeCompare(b.group));
}

const common = (resource: Resource) => ({
  ...(resource.shortNames === undefined ? {} : { shortNames: resource.shortNames }),
  ...(resource.categories === undefined ? {} : { categories: resource.categories }),
});

/** The APIResourceList of one group-version. */
export function resourceList({ group, version, resources }: GroupVersion): object {
  const list = resources.flatMap((resource) => [
    {
      name: resource.plural,
      singularName: resource.singular,
      namespaced: resource.namespaced,
      kind: resource.kind,
      verbs: verbsOf(resource),
      ...common(resource),
    },
    ...subresourcesOf(resource).map((sub) => ({
      name: `${resource.plural}/${sub.name}`,
      singularName: "",
      namespaced: resource.namespaced,
      ...(sub.kind === undefined ? {} : { group: sub.kind.group, version: sub.kind.version }),
      kind: sub.kind?.kind ?? resource.kind,
      verbs: sub.verbs,
    })),
  ]);
  return {
    kind: "APIResourceList",
    apiVersion: "v1",
    groupVersion: group === "" ? version : `${group}/${version}`,
    resources: list,
  };
}

/** The named groups with their versions. */
function namedGroups(all: readonly GroupVersion[]) {
  return [...Map.groupBy(all, ({ group }) => group)]
    .filter(([group]) => group !== "")
    .map(([name, served]) => {
      const versions = served.map(({ version }) => ({ groupVersion: `${name}/${version}`, version }));
      return { name, versions, preferredVersion: versions[0] };
    });
}

/** The named groups, as /apis lists them without aggregation. */
export const groupList = (all: readonly GroupVersion[]): object => ({
  kind: "APIGroupList",
  apiVersion: "v1",
  groups: namedGroups(all),
});

/** What /apis/GROUP says; undefined for a group that is not served. */
export function groupAt(all: readonly GroupVersion[], path: string): object | undefined {
  const found = namedGroups(all).find(({ name }) => path === `/apis/${name}`);
  return found === undefined ? undefined : { kind: "APIGroup", apiVersion: "v1", ...found };
}

/** Aggregated discovery: every resource of /api or of /apis in one document. `version` is v2 or v2beta1. */
export function aggregated(all: readonly GroupVersion[], root: "api" | "apis", version: string): object {
  const ofRoot = all.filter(({ group }) => (group === "") === (root === "api"));
  const items = [...Map.groupBy(ofRoot, ({ group }) => group)].map(([group, served]) => ({
    metadata: { creationTimestamp: null, ...(group === "" ? {} : { name: group }) },
    versions: served.map((each) => aggregatedVersion(each)),
  }));
  return { kind: "APIGroupDiscoveryList", apiVersion: `apidiscovery.k8s.io/${version}`, metadata: {}, items };
}

const aggregatedVersion = ({ group, version: served, resources }: GroupVersion): object => ({
  version: served,
  freshness: "Current",
  resources: resources.map((resource) => ({
    resource: resource.plural,
    responseKind: { group, version: served, kind: resource.kind },
    scope: resource.namespaced ? "Namespaced" : "Cluster",
    singularResource: resource.singular,
    verbs: verbsOf(resource),
    ...common(resource),
    ...(subresourcesOf(resource).length === 0
      ? {}
      : {
          subresources: subresourcesOf(resource).map((sub) => ({
            subresource: sub.name,
            responseKind: sub.kind ?? { group, version: served, kind: resource.kind },
            verbs: sub.verbs,
          })),
        }),
  })),
});

/** What the OpenAPI documents are made from. */
export const openApiResources = (resources: readonly Resource[]): OpenApiResource[] =>
  resources.map((resource) => {
    const { group, version, kind, plural, namespaced } = resource;
    return {
      group,
      version,
      kind,
      plural,
      namespaced,
      verbs: verbsOf(resource),
      subresources: subresourcesOf(resource),
      custom: resource.custom === true,
    };
  });
