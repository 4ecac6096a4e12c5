import type { Resource } from "./resource.ts";

/** Every resource that is served, by group, version and plural. */
export class Registry {
  readonly all: readonly Resource[];
  readonly #byPath = new Map<string, Resource>();

  constructor(resources: readonly Resource[]) {
    this.all = resources;
    for (const resource of resources)
      this.#byPath.set(`${resource.group}/${resource.version}/${resource.plural}`, resource);
  }

  find(group: string, version: string, plural: string): Resource | undefined {
    return this.#byPath.get(`${group}/${version}/${plural}`);
  }

  hasGroupVersion(group: string, version: string): boolean {
    return this.all.some((each) => each.group === group && each.version === version);
  }

  /** Groups and versions, core first, in the order of declaration. */
  groupVersions(): { readonly group: string; readonly version: string; readonly resources: readonly Resource[] }[] {
    const found = new Map<string, Resource[]>();
    for (const resource of this.all) {
      const key = `${resource.group}/${resource.version}`;
      const known = found.get(key);
      if (known === undefined) found.set(key, [resource]);
      else known.push(resource);
    }
    return [...found.values()].map((resources) => ({
      group: resources[0]?.group ?? "",
      version: resources[0]?.version ?? "",
      resources,
    }));
  }
}
