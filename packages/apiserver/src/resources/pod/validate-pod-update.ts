import { isDeepStrictEqual } from "node:util";
import type { Container, Pod, PodSpec } from "@tripod/api/kubernetes";
import type { FieldErrors } from "../../registry/field-errors.ts";

const mutable =
  "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/** What of a Pod's spec stays as it was made. JSON drops undefined, which is the same as absent here. */
function fixedPart(spec: PodSpec): string {
  const { activeDeadlineSeconds: _a, tolerations: _t, schedulingGates: _g, ...rest } = spec;
  const withoutImage = ({ image: _image, ...container }: Container): unknown => container;
  return JSON.stringify(
    sorted({
      ...rest,
      containers: spec.containers.map(withoutImage),
      initContainers: spec.initContainers?.map(withoutImage),
    }),
  );
}

/** The same value with the keys of every object in order. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, sorted(inner)]),
  );
}

/** Almost nothing of a Pod's spec may change once it is made. */
export function validatePodUpdate(pod: Pod, old: Pod, errors: FieldErrors): void {
  const counts = (spec: PodSpec): number => spec.containers.length;
  if (counts(pod.spec) !== counts(old.spec)) {
    errors.forbidden("spec.containers", "pod updates may not add or remove containers");
    return;
  }
  if (fixedPart(pod.spec) !== fixedPart(old.spec)) errors.forbidden("spec", mutable);
  const isKept = (old.spec.tolerations ?? []).every((was) =>
    (pod.spec.tolerations ?? []).some((now) => {
      const { tolerationSeconds: _a, ...before } = was;
      const { tolerationSeconds: _b, ...after } = now;
      return isDeepStrictEqual(before, after);
    }),
  );
  if (!isKept)
    errors.forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds");
  const [deadline, was] = [pod.spec.activeDeadlineSeconds, old.spec.activeDeadlineSeconds];
  if (was !== undefined && deadline === undefined)
    errors.invalid("spec.activeDeadlineSeconds", deadline, "must not update from a positive integer to nil value");
  else if (was !== undefined && deadline !== undefined && deadline > was)
    errors.invalid("spec.activeDeadlineSeconds", deadline, "must be less than or equal to previous value");
  const gates = new Set((old.spec.schedulingGates ?? []).map((each) => each.name));
  if ((pod.spec.schedulingGates ?? []).some((each) => !gates.has(each.name)))
    errors.forbidden("spec.schedulingGates", "only deletion is allowed, but found new scheduling gates");
}
