import { TripodError } from "@tripod/base";
import { parseRlimits, type RlimitRequest, rlimitType } from "@tripod/oci";
import type { CriConfig } from "../cri-config.ts";
import type { HandlerConfig } from "../runtime/handler-config.ts";

/** The Pod annotation by which users set limits, for all of its containers or, with "/NAME", for one. */
const annotation = "rlimits.tripod.dev";

const byType = (request: RlimitRequest | undefined): RlimitRequest =>
  Object.fromEntries(Object.entries(request ?? {}).map(([name, values]) => [rlimitType(name), values]));

/** The limits of a container: the operator's, over them the handler's, over them the Pod's own where the operator lets it. */
export function rlimitsOf(
  config: CriConfig,
  handler: HandlerConfig,
  pod: { readonly annotations: Readonly<Record<string, string>>; readonly container: string },
): RlimitRequest {
  const asked = [pod.annotations[annotation], pod.annotations[`${annotation}/${pod.container}`]].filter(
    (text) => text !== undefined,
  );
  if (asked.length > 0 && config.allowRlimitsAnnotation !== true) {
    throw new TripodError(
      "failed-precondition",
      `rlimits: the Pod sets limits by ${annotation}, which this node does not allow; set allowRlimitsAnnotation`,
    );
  }
  return Object.assign({}, byType(config.defaultRlimits), byType(handler.defaultRlimits), ...asked.map(parseRlimits));
}
