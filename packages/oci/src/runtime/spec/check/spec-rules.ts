import type { CheckedSpec } from "./spec-schema.ts";
import type { SpecProblem } from "./check-runtime-spec.ts";

/** Something that parts of a spec, each right in itself, say together. */
type Rule = (spec: CheckedSpec) => readonly SpecProblem[];

/** The places of what was there before under the same key. */
function repeated<T>(
  items: readonly T[],
  keyOf: (item: T) => string,
  say: (key: string, index: number) => SpecProblem,
) {
  const seen = new Set<string>();
  return items.flatMap((item, index) => {
    const key = keyOf(item);
    if (seen.has(key)) return [say(key, index)];
    seen.add(key);
    return [];
  });
}

const hasNamespace = (spec: CheckedSpec, type: string): boolean =>
  spec.linux?.namespaces?.some((namespace) => namespace.type === type) === true;

const namespaces: Rule = (spec) =>
  repeated(
    spec.linux?.namespaces ?? [],
    ({ type }) => type,
    (type, index) => ({ path: `linux.namespaces.${index}.type`, message: `${type} is there twice` }),
  );

const needed: Rule = (spec) => {
  const rows: [path: string, isSet: boolean, namespace: string][] = [
    ["hostname", (spec.hostname ?? "") !== "", "uts"],
    ["domainname", (spec.domainname ?? "") !== "", "uts"],
    ["linux.uidMappings", (spec.linux?.uidMappings ?? []).length > 0, "user"],
    ["linux.gidMappings", (spec.linux?.gidMappings ?? []).length > 0, "user"],
    ["linux.timeOffsets", spec.linux?.timeOffsets !== undefined, "time"],
    ["linux.netDevices", Object.keys(spec.linux?.netDevices ?? {}).length > 0, "network"],
  ];
  return rows
    .filter(([, isSet, namespace]) => isSet && !hasNamespace(spec, namespace))
    .map(([path, , namespace]) => ({ path, message: `needs a ${namespace} namespace in linux.namespaces` }));
};

/** A new user namespace in which nobody is anybody runs nothing. */
const mappedUsers: Rule = (spec) => {
  const isNew = spec.linux?.namespaces?.some(({ type, path }) => type === "user" && path === undefined) === true;
  if (!isNew) return [];
  return (["uidMappings", "gidMappings"] as const)
    .filter((name) => (spec.linux?.[name] ?? []).length === 0)
    .map((name) => ({ path: `linux.${name}`, message: "must map ids into the new user namespace" }));
};

const rlimits: Rule = (spec) => {
  const list = spec.process?.rlimits ?? [];
  return [
    ...repeated(
      list,
      ({ type }) => type,
      (type, index) => ({ path: `process.rlimits.${index}.type`, message: `${type} is there twice` }),
    ),
    ...list.flatMap(({ soft, hard }, index) =>
      soft > hard
        ? [{ path: `process.rlimits.${index}.soft`, message: `${soft} is above the hard limit, ${hard}` }]
        : [],
    ),
  ];
};

const devices: Rule = (spec) =>
  repeated(
    spec.linux?.devices ?? [],
    ({ path }) => path,
    (path, index) => ({ path: `linux.devices.${index}.path`, message: `${path} is there twice` }),
  );

const cpuTime: Rule = ({ linux }) => {
  const { quota, burst } = linux?.resources?.cpu ?? {};
  if (quota === undefined || quota <= 0 || burst === undefined || burst <= quota) return [];
  return [{ path: "linux.resources.cpu.burst", message: `${burst} is above the quota, ${quota}` }];
};

/** The sum of memory and swap. */
const swap: Rule = ({ linux }) => {
  const { limit, swap: sum } = linux?.resources?.memory ?? {};
  if (limit === undefined || sum === undefined || limit <= 0 || sum <= 0 || sum >= limit) return [];
  return [
    {
      path: "linux.resources.memory.swap",
      message: `${sum}, memory and swap together, is below the limit of memory, ${limit}`,
    },
  ];
};

/** All rules between parts. */
export const specRules: readonly Rule[] = [namespaces, needed, mappedUsers, rlimits, devices, cpuTime, swap];
