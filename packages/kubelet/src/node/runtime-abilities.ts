import type { RuntimeFeatures, RuntimeHandlerFeatures } from "@tripod/api/cri";
import type { NodeStatus } from "@tripod/api/kubernetes";

/** What the Node says of its runtime beside its version. */
export type RuntimeAbilities = Pick<NodeStatus, "runtimeHandlers" | "features">;

/** A handler as CRI's Status has it. */
interface Answered {
  readonly name: string;
  readonly features?: Pick<RuntimeHandlerFeatures, "recursiveReadOnlyMounts" | "userNamespaces"> | undefined;
}

/** What CRI's Status tells of handlers and features, as the Node has it; nothing of a runtime that does not tell. */
export function runtimeAbilities(reply: {
  readonly runtimeHandlers: readonly Answered[];
  readonly features?: Pick<RuntimeFeatures, "supplementalGroupsPolicy"> | undefined;
}): RuntimeAbilities {
  const { runtimeHandlers, features } = reply;
  return {
    ...(runtimeHandlers.length > 0 && {
      // Sorted, so that a runtime which keeps no order does not make a change of it.
      runtimeHandlers: runtimeHandlers
        .map(({ name, features: of }) => ({
          name,
          ...(of !== undefined && {
            features: { recursiveReadOnlyMounts: of.recursiveReadOnlyMounts, userNamespaces: of.userNamespaces },
          }),
        }))
        .toSorted((a, b) => (a.name < b.name ? -1 : 1)),
    }),
    ...(features !== undefined && { features: { supplementalGroupsPolicy: features.supplementalGroupsPolicy } }),
  };
}
