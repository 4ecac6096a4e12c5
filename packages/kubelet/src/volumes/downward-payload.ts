import type { DownwardAPIVolumeFile, Pod } from "@tripod/api/kubernetes";
import { TripodError } from "@tripod/base";
import { fieldValue, type PodFacts, resourceValue } from "../containers/field-value.ts";
import type { PayloadFile } from "./payload.ts";

/** The files of a downwardAPI volume. */
export function downwardPayload(
  pod: Pod,
  items: readonly DownwardAPIVolumeFile[],
  { facts, defaultMode }: { readonly facts: PodFacts; readonly defaultMode: number },
): Map<string, PayloadFile> {
  const payload = new Map<string, PayloadFile>();
  for (const { path, fieldRef, resourceFieldRef, mode } of items) {
    let text: string;
    if (fieldRef !== undefined) text = fieldValue(pod, fieldRef, facts);
    else if (resourceFieldRef !== undefined) {
      const containers = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])];
      const container = containers.find(({ name }) => name === resourceFieldRef.containerName);
      if (container === undefined) {
        throw new TripodError(
          "invalid",
          `downwardAPI ${path}: no container is called ${resourceFieldRef.containerName}`,
        );
      }
      text = resourceValue(container, resourceFieldRef, facts);
    } else throw new TripodError("invalid", `downwardAPI ${path}: needs a fieldRef or a resourceFieldRef`);
    payload.set(path, { data: Buffer.from(text), mode: mode ?? defaultMode });
  }
  return payload;
}
