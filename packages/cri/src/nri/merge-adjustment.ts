import { create } from "@bufbuild/protobuf";
import {
  type Container,
  type ContainerAdjustment,
  ContainerAdjustmentSchema,
  Field,
  HooksSchema,
  type LinuxContainerAdjustment,
  LinuxContainerAdjustmentSchema,
  LinuxContainerSchema,
  LinuxRdtSchema,
  LinuxResourcesSchema,
} from "@tripod/api/nri";
import { TripodError } from "@tripod/base";
import { mergeResources } from "./merge-resources.ts";
import type { Owners } from "./owners.ts";
import { keyOf } from "./removal.ts";

/**
 * The adjustments of all plugins so far, and the container as the next plugin shall see it: with what those before it have changed.
 * Two plugins that set the same are a "conflict".
 */
export class MergedAdjustment {
  readonly adjustment: ContainerAdjustment;
  readonly container: Container;
  readonly #linux: LinuxContainerAdjustment;
  readonly #owners: Owners;

  /** `container` is changed as plugins are applied. */
  constructor(container: Container, owners: Owners) {
    this.#linux = create(LinuxContainerAdjustmentSchema, { resources: create(LinuxResourcesSchema) });
    this.adjustment = create(ContainerAdjustmentSchema, { linux: this.#linux, hooks: create(HooksSchema) });
    this.container = container;
    container.linux ??= create(LinuxContainerSchema);
    container.linux.resources ??= create(LinuxResourcesSchema);
    container.hooks ??= create(HooksSchema);
    this.#owners = owners;
  }

  apply(wish: ContainerAdjustment | undefined, plugin: string): void {
    if (wish === undefined) return;
    const { adjustment, container } = this;
    const claim = (field: Field, key?: string): void => this.#owners.claim(container.id, field, plugin, key);
    this.#map(
      wish.annotations,
      { into: adjustment.annotations, shown: container.annotations, field: Field.Annotations },
      plugin,
    );
    const mounts = { field: Field.Mounts, keyOf: (mount: { destination: string }) => mount.destination };
    adjustment.mounts = this.#list(wish.mounts, { ...mounts, into: adjustment.mounts }, plugin);
    container.mounts = shownList(container.mounts, wish.mounts, mounts.keyOf);
    const variables = { field: Field.Env, keyOf: (variable: { key: string }) => variable.key };
    adjustment.env = this.#list(wish.env, { ...variables, into: adjustment.env }, plugin);
    const named = new Set(wish.env.map(({ key }) => keyOf(key).key));
    container.env = [
      ...container.env.filter((entry) => !named.has(entry.split("=", 1)[0] ?? "")),
      ...wish.env.filter(({ key }) => !keyOf(key).removed).map(({ key, value }) => `${key}=${value}`),
    ];
    if (wish.args.length > 0) {
      // An empty first word says that the plugin knows that it replaces another's.
      const replaces = wish.args[0] === "";
      if (replaces) this.#owners.clear(container.id, Field.Args, plugin);
      claim(Field.Args);
      adjustment.args = replaces ? wish.args.slice(1) : wish.args;
      container.args = adjustment.args;
    }
    this.#hooks(wish, plugin);
    for (const limit of wish.rlimits) {
      claim(Field.Rlimits, limit.type);
      adjustment.rlimits.push(limit);
      container.rlimits = [...container.rlimits.filter(({ type }) => type !== limit.type), limit];
    }
    for (const device of wish.CDIDevices) {
      claim(Field.CdiDevices, device.name);
      adjustment.CDIDevices.push(device);
    }
    if (wish.linux !== undefined) this.#applyLinux(wish.linux, plugin);
  }

  #applyLinux(wish: LinuxContainerAdjustment, plugin: string): void {
    const { container } = this;
    const shown = container.linux;
    if (shown?.resources === undefined || this.#linux.resources === undefined) return; // set by the constructor
    const into = this.#linux;
    const claim = (field: Field, key?: string): void => this.#owners.claim(container.id, field, plugin, key);
    const devices = { field: Field.Devices, keyOf: (device: { path: string }) => device.path };
    into.devices = this.#list(wish.devices, { ...devices, into: into.devices }, plugin);
    shown.devices = shownList(shown.devices, wish.devices, devices.keyOf);
    const by = { owners: this.#owners, containerId: container.id, plugin };
    mergeResources(wish.resources, { ...by, into: this.#linux.resources });
    // The same once more for what is shown, where everything may be overwritten.
    mergeResources(wish.resources, { ...by, into: shown.resources, owners: nobody });
    for (const namespace of wish.namespaces) {
      const { key, removed } = keyOf(namespace.type);
      claim(Field.Namespace, key);
      into.namespaces.push(namespace);
      shown.namespaces = shown.namespaces.filter(({ type }) => type !== key);
      if (!removed) shown.namespaces.push(namespace);
    }
    this.#map(wish.sysctl, { into: into.sysctl, shown: shown.sysctl, field: Field.Sysctl }, plugin);
    this.#map(
      wish.netDevices,
      { into: into.netDevices, shown: shown.netDevices, field: Field.LinuxNetDevices },
      plugin,
    );
    if (wish.cgroupsPath !== "") {
      if (wish.cgroupsPath !== shown.cgroupsPath) {
        throw new TripodError(
          "unimplemented",
          `nri: plugin ${plugin} asks for cgroupsPath ${JSON.stringify(wish.cgroupsPath.slice(0, 200))}: a container's cgroup lies in its sandbox's, where it is measured and removed; name a cgroup_parent for the sandbox`,
        );
      }
      claim(Field.CgroupsPath);
      into.cgroupsPath = shown.cgroupsPath = wish.cgroupsPath;
    }
    if (wish.oomScoreAdj !== undefined) {
      claim(Field.OomScoreAdj);
      into.oomScoreAdj = shown.oomScoreAdj = wish.oomScoreAdj;
    }
    if (wish.ioPriority !== undefined) {
      claim(Field.IoPriority);
      into.ioPriority = shown.ioPriority = wish.ioPriority;
    }
    if (wish.seccompPolicy !== undefined) {
      claim(Field.SeccompPolicy);
      into.seccompPolicy = shown.seccompPolicy = wish.seccompPolicy;
    }
    if (wish.scheduler !== undefined) {
      claim(Field.LinuxSched);
      into.scheduler = shown.scheduler = wish.scheduler;
    }
    if (wish.memoryPolicy !== undefined) {
      claim(Field.MemoryPolicy);
      into.memoryPolicy = wish.memoryPolicy;
    }
    if (wish.rdt !== undefined) {
      const fields = [
        ["closId", Field.RdtClosID],
        ["schemata", Field.RdtSchemata],
        ["enableMonitoring", Field.RdtEnableMonitoring],
      ] as const;
      if (wish.rdt.remove) {
        for (const [, field] of fields) this.#owners.clear(container.id, field, plugin);
        into.rdt = create(LinuxRdtSchema, { remove: true });
      }
      into.rdt ??= create(LinuxRdtSchema);
      for (const [key, field] of fields) {
        if (wish.rdt[key] === undefined) continue;
        claim(field);
        Object.assign(into.rdt, { [key]: wish.rdt[key] });
      }
    }
  }

  #hooks(wish: ContainerAdjustment, plugin: string): void {
    const { hooks } = wish;
    if (hooks === undefined) return;
    for (const kind of hookKinds) {
      if (hooks[kind].length === 0) continue;
      this.adjustment.hooks?.[kind].push(...hooks[kind]);
      this.container.hooks?.[kind].push(...hooks[kind]);
      this.#owners.share(this.container.id, Field.OciHooks, plugin);
    }
  }

  /** Entries by key; one with a mark takes away what has the key, and with an entry of the same key replaces it. */
  #map<V>(
    wish: Readonly<Record<string, V>>,
    of: { readonly into: Record<string, V>; readonly shown: Record<string, V>; readonly field: Field },
    plugin: string,
  ): void {
    for (const [marked, value] of Object.entries(wish)) {
      const { key, removed } = keyOf(marked);
      if (!removed) continue;
      this.#owners.clear(this.container.id, of.field, plugin, key);
      delete of.into[key];
      delete of.shown[key];
      of.into[marked] = value;
    }
    for (const [key, value] of Object.entries(wish)) {
      if (keyOf(key).removed) continue;
      this.#owners.claim(this.container.id, of.field, plugin, key);
      of.into[key] = value;
      of.shown[key] = value;
    }
  }

  /** The same for lists. */
  #list<V>(
    wish: readonly V[],
    of: { readonly into: readonly V[]; readonly keyOf: (entry: V) => string; readonly field: Field },
    plugin: string,
  ): V[] {
    const removals = wish.filter((entry) => keyOf(of.keyOf(entry)).removed);
    const removed = new Set(removals.map((entry) => keyOf(of.keyOf(entry)).key));
    for (const key of removed) this.#owners.clear(this.container.id, of.field, plugin, key);
    const added = wish.filter((entry) => !keyOf(of.keyOf(entry)).removed);
    for (const entry of added) this.#owners.claim(this.container.id, of.field, plugin, of.keyOf(entry));
    return [...of.into.filter((entry) => !removed.has(keyOf(of.keyOf(entry)).key)), ...removals, ...added];
  }
}

export const hookKinds = [
  "prestart",
  "createRuntime",
  "createContainer",
  "startContainer",
  "poststart",
  "poststop",
] as const;

/** A list of the container with a plugin's wishes in it. */
function shownList<V>(shown: readonly V[], wish: readonly V[], key: (entry: V) => string): V[] {
  const named = new Set(wish.map((entry) => keyOf(key(entry)).key));
  return [...shown.filter((entry) => !named.has(key(entry))), ...wish.filter((entry) => !keyOf(key(entry)).removed)];
}

const nobody = { claim: () => {} };
