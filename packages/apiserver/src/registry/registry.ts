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
}
