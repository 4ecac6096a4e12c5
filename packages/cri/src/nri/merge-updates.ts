import { create } from "@bufbuild/protobuf";
import { type ContainerUpdate, type LinuxResources, LinuxResourcesSchema } from "@tripod/api/nri";
import { isTripodError, TripodError } from "@tripod/base";
import { copyResources, mergeResources } from "./merge-resources.ts";
import type { Owners } from "./owners.ts";

/** What the plugins want to change of one container. */
export interface WantedUpdate {
  readonly containerId: string;
  resources: LinuxResources;
  /** Those who asked for it. */
  readonly plugins: readonly string[];
  /** All of them can live without it. */
  ignoreFailure: boolean;
}

/** Puts the updates of one plugin to those of others. A conflict of an update that may fail leaves that one out. */
export function mergeUpdates(
  updates: readonly ContainerUpdate[],
  by: {
    readonly into: Map<string, WantedUpdate>;
    readonly owners: Owners;
    readonly plugin: string;
    /** The container that is being created: it is adjusted, not updated. */
    readonly creating?: string;
  },
): void {
  for (const { containerId, linux, ignoreFailure } of updates) {
    if (containerId === by.creating) {
      throw new TripodError(
        "invalid",
        `nri: plugin ${by.plugin} asks for an update of ${containerId}, which it adjusts`,
      );
    }
    const before = by.into.get(containerId);
    const resources = before === undefined ? create(LinuxResourcesSchema) : copyResources(before.resources);
    try {
      mergeResources(linux?.resources, { into: resources, owners: by.owners, containerId, plugin: by.plugin });
    } catch (error) {
      if (ignoreFailure && isTripodError(error, "conflict")) continue;
      throw error;
    }
    by.into.set(containerId, {
      containerId,
      resources,
      plugins: [...new Set([...(before?.plugins ?? []), by.plugin])],
      ignoreFailure: ignoreFailure && (before?.ignoreFailure ?? true),
    });
  }
}
