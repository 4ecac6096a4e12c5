import { Field, type OwningPlugins } from "@tripod/api/nri";
import { TripodError } from "@tripod/base";

/**
 * Who has set what, of any number of containers. A plugin that sets what another has set is a "conflict" that names both, unless it
 * asked for the other's to be removed before.
 */
export class Owners {
  /** By container, field and key ("" for a field without keys); `cleared`: the owner only removed it. */
  readonly #owners = new Map<string, Map<Field, Map<string, { plugin: string; cleared: boolean }>>>();

  #of(containerId: string, field: Field): Map<string, { plugin: string; cleared: boolean }> {
    const fields = this.#owners.get(containerId) ?? new Map<Field, Map<string, { plugin: string; cleared: boolean }>>();
    this.#owners.set(containerId, fields);
    const keys = fields.get(field) ?? new Map<string, { plugin: string; cleared: boolean }>();
    fields.set(field, keys);
    return keys;
  }

  claim(containerId: string, field: Field, plugin: string, key = ""): void {
    const keys = this.#of(containerId, field);
    const owner = keys.get(key);
    if (owner !== undefined && !(owner.cleared && owner.plugin === plugin)) {
      const name = Object.entries(Field).find(([, number]) => number === field)?.[0] ?? field;
      const what = key === "" ? name : `${name} ${JSON.stringify(key)}`;
      throw new TripodError(
        "conflict",
        `nri: plugins ${owner.plugin} and ${plugin} both set ${what} of container ${containerId}; only one may`,
      );
    }
    keys.set(key, { plugin, cleared: false });
  }

  clear(containerId: string, field: Field, plugin: string, key = ""): void {
    this.#of(containerId, field).set(key, { plugin, cleared: true });
  }

  /** Adds a plugin to those that have set a field which all may. */
  share(containerId: string, field: Field, plugin: string): void {
    const keys = this.#of(containerId, field);
    const before = keys.get("")?.plugin;
    keys.set("", { plugin: before === undefined ? plugin : `${before},${plugin}`, cleared: false });
  }

  /** As a validating plugin is told of it. */
  message(): Pick<OwningPlugins, "owners"> {
    const owners: OwningPlugins["owners"] = {};
    for (const [containerId, fields] of this.#owners) {
      const simple: Record<number, string> = {};
      const compound: OwningPlugins["owners"][string]["compound"] = {};
      for (const [field, keys] of fields) {
        for (const [key, { plugin, cleared }] of keys) {
          const name = cleared ? `-${plugin}` : plugin;
          if (key === "") simple[field] = name;
          else {
            compound[field] ??= { $typeName: "nri.pkg.api.v1alpha1.CompoundFieldOwners", owners: {} };
            compound[field].owners[key] = name;
          }
        }
      }
      owners[containerId] = { $typeName: "nri.pkg.api.v1alpha1.FieldOwners", simple, compound };
    }
    return { owners };
  }
}
