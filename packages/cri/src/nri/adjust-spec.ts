import {
  type ContainerAdjustment,
  type Hook,
  IOPrioClass,
  type LinuxContainerAdjustment,
  type LinuxResources,
  type LinuxSeccomp,
  LinuxSchedulerFlag,
  LinuxSchedulerPolicy,
  MpolFlag,
  MpolMode,
  type Mount,
} from "@tripod/api/nri";
import { TripodError } from "@tripod/base";
import { applyCdiEdits, type CdiDevices, type ResourcesSpec, type RuntimeSpec } from "@tripod/oci";
import { possibleOomScore } from "../container/oom-score.ts";
import { hookKinds } from "./merge-adjustment.ts";
import { keyOf } from "./removal.ts";

/** A number that JSON carries and a double does not: RLIM_INFINITY is 2^64 - 1. */
const exact = (value: bigint): number =>
  Number.isSafeInteger(Number(value))
    ? Number(value)
    : (JSON as unknown as { rawJSON(text: string): number }).rawJSON(String(value)); // TypeScript does not know it yet

/** The name that the OCI runtime specification has for a number of an enum; the specification's names are the protocol's. */
const nameIn = (names: Readonly<Record<string, number>>, number: number, what: string): string => {
  const name = Object.entries(names).find(([, value]) => value === number)?.[0];
  if (name === undefined) throw new TripodError("invalid", `nri: ${what} ${number} is not known`);
  return name;
};

/** `linux.resources` with what plugins changed; fields that they left alone stay. */
export function adjustedResources(spec: ResourcesSpec, wish: LinuxResources | undefined): ResourcesSpec {
  if (wish === undefined) return spec;
  for (const name of ["blockioClass", "rdtClass"] as const) {
    if (wish[name] !== undefined)
      throw new TripodError(
        "unimplemented",
        `nri: a plugin asks for ${name} ${wish[name].value}: there are no classes`,
      );
  }
  const { memory: m, cpu: c } = wish;
  const number = (name: string, value: { value: bigint } | undefined) =>
    value === undefined ? {} : { [name]: exact(value.value) };
  const memory = {
    ...spec.memory,
    ...number("limit", m?.limit),
    // Without swap of its own a limit is one of memory and swap together, as everywhere.
    ...(spec.memory?.swap !== undefined && number("swap", m?.limit)),
    ...number("swap", m?.swap),
    ...number("reservation", m?.reservation),
    ...number("kernel", m?.kernel),
    ...number("kernelTCP", m?.kernelTcp),
    ...number("swappiness", m?.swappiness),
    ...(m?.disableOomKiller !== undefined && { disableOOMKiller: m.disableOomKiller.value }),
    ...(m?.useHierarchy !== undefined && { useHierarchy: m.useHierarchy.value }),
  };
  const cpu = {
    ...spec.cpu,
    ...number("shares", c?.shares),
    ...number("quota", c?.quota),
    ...number("period", c?.period),
    ...number("realtimeRuntime", c?.realtimeRuntime),
    ...number("realtimePeriod", c?.realtimePeriod),
    ...(c !== undefined && c.cpus !== "" && { cpus: c.cpus }),
    ...(c !== undefined && c.mems !== "" && { mems: c.mems }),
  };
  const hugepages = new Map((spec.hugepageLimits ?? []).map((limit) => [limit.pageSize, limit]));
  for (const { pageSize, limit } of wish.hugepageLimits) hugepages.set(pageSize, { pageSize, limit: exact(limit) });
  const rules = wish.devices.map((rule) => ({
    allow: rule.allow,
    ...(rule.type !== "" && { type: rule.type as "a" | "b" | "c" }), // runc refuses others
    ...number("major", rule.major),
    ...number("minor", rule.minor),
    access: rule.access,
  }));
  return {
    ...spec,
    ...(Object.keys(memory).length > 0 && { memory }),
    ...(Object.keys(cpu).length > 0 && { cpu }),
    ...(wish.pids !== undefined && { pids: { limit: exact(wish.pids.limit) } }),
    ...(hugepages.size > 0 && { hugepageLimits: [...hugepages.values()] }),
    ...((spec.unified !== undefined || Object.keys(wish.unified).length > 0) && {
      unified: { ...spec.unified, ...wish.unified },
    }),
    ...(rules.length > 0 && { devices: [...(spec.devices ?? []), ...rules] }),
  };
}

/** config.json with the plugins' adjustments in it. What cannot be met is an error that says which part. */
export function adjustSpec(
  plain: RuntimeSpec,
  adjust: ContainerAdjustment,
  cdi: Pick<CdiDevices, "resolve">,
): RuntimeSpec {
  const edits = cdi.resolve(adjust.CDIDevices.map(({ name }) => name));
  const spec = edits.length === 0 ? plain : applyCdiEdits(plain, edits);
  const linux = adjust.linux;
  const { process } = spec;
  const rlimits = new Map((process.rlimits ?? []).map((limit) => [limit.type, limit]));
  for (const { type, soft, hard } of adjust.rlimits) rlimits.set(type, { type, soft: exact(soft), hard: exact(hard) });
  const priority = linux?.ioPriority;
  return {
    ...spec,
    annotations: withEntries(spec.annotations, adjust.annotations),
    mounts: adjustMounts(spec.mounts, adjust.mounts),
    process: {
      ...process,
      ...(adjust.args.length > 0 && { args: adjust.args }),
      env: adjustEnv(process.env, adjust),
      ...(rlimits.size > 0 && { rlimits: [...rlimits.values()] }),
      ...(linux?.oomScoreAdj !== undefined && {
        oomScoreAdj: possibleOomScore(Number(linux.oomScoreAdj.value)),
      }),
      ...(priority !== undefined &&
        priority.class !== IOPrioClass.IOPRIO_CLASS_NONE && {
          ioPriority: { class: nameIn(IOPrioClass, priority.class, "I/O class"), priority: priority.priority },
        }),
      ...(linux?.scheduler !== undefined && { scheduler: schedulerOf(linux.scheduler) }),
    },
    ...(linux !== undefined && { linux: adjustLinux(spec.linux, linux, adjust.mounts) }),
    ...hooksOf(spec, adjust),
  };
}

/** Entries with removals and additions in the order in which they were asked for. */
function withEntries(entries: Readonly<Record<string, string>>, wish: Readonly<Record<string, string>>) {
  const result = { ...entries };
  for (const marked of Object.keys(wish)) {
    const { key, removed } = keyOf(marked);
    if (removed) delete result[key];
  }
  for (const [key, value] of Object.entries(wish)) if (!keyOf(key).removed) result[key] = value;
  return result;
}

function adjustEnv(env: readonly string[], { env: wish }: ContainerAdjustment): string[] {
  const byName = new Map(env.map((entry) => [entry.split("=", 1)[0] ?? "", entry]));
  for (const { key: marked, value } of wish) {
    const { key, removed } = keyOf(marked);
    if (removed) byName.delete(key);
    else byName.set(key, `${key}=${value}`);
  }
  return [...byName.values()];
}

const depth = (path: string): number => path.split("/").filter((part) => part !== "").length;

/** Parents before what lies in them, else in the order that they had. */
function adjustMounts(mounts: RuntimeSpec["mounts"], wish: readonly Mount[]): RuntimeSpec["mounts"] {
  if (wish.length === 0) return mounts;
  const result = new Map(mounts.map((mount) => [mount.destination, mount]));
  for (const { destination: marked, type, source, options } of wish) {
    const { key, removed } = keyOf(marked);
    result.delete(key);
    if (!removed) result.set(key, { destination: key, type, source, options });
  }
  return [...result.values()].toSorted((one, other) => depth(one.destination) - depth(other.destination));
}

function adjustLinux(
  spec: RuntimeSpec["linux"],
  wish: LinuxContainerAdjustment,
  mounts: readonly Mount[],
): RuntimeSpec["linux"] {
  const devices = new Map(spec.devices.map((device) => [device.path, device]));
  const rules: NonNullable<ResourcesSpec["devices"]>[number][] = [];
  for (const device of wish.devices) {
    const { key, removed } = keyOf(device.path);
    devices.delete(key);
    if (removed) continue;
    const { type } = device;
    if (type !== "b" && type !== "c" && type !== "p" && type !== "u")
      throw new TripodError("invalid", `nri: device ${key}: type ${JSON.stringify(type)} is not one of b, c, u, p`);
    const [major, minor] = [Number(device.major), Number(device.minor)];
    const fileMode = device.fileMode?.value ?? 0o666;
    const owner = { uid: device.uid?.value ?? 0, gid: device.gid?.value ?? 0 };
    devices.set(key, { path: key, type, major, minor, fileMode, ...owner });
    if (type !== "p") rules.push({ allow: true, type: type === "b" ? "b" : "c", major, minor, access: "rwm" });
  }
  const namespaces = new Map<string, RuntimeSpec["linux"]["namespaces"][number]>(
    spec.namespaces.map((namespace) => [namespace.type, namespace]),
  );
  for (const { type: marked, path } of wish.namespaces) {
    const { key, removed } = keyOf(marked);
    // runc refuses a type that it does not know.
    const type = key as RuntimeSpec["linux"]["namespaces"][number]["type"];
    if (removed) namespaces.delete(key);
    else namespaces.set(key, { type, ...(path !== "" && { path }) });
  }
  const resources = adjustedResources(spec.resources, wish.resources);
  const propagation = propagationOf(mounts, spec.rootfsPropagation);
  const netDevices = Object.entries(wish.netDevices).filter(([name]) => !keyOf(name).removed);
  const { memoryPolicy: policy, rdt } = wish;
  const { intelRdt: rdtBefore, ...plain } = spec;
  const intelRdt = {
    ...(rdt?.remove !== true && rdtBefore),
    ...(rdt?.closId !== undefined && { closID: rdt.closId.value }),
    ...(rdt?.schemata !== undefined && { schemata: rdt.schemata.value }),
    ...(rdt?.enableMonitoring !== undefined && { enableMonitoring: rdt.enableMonitoring.value }),
  };
  const more = {
    ...(netDevices.length > 0 && {
      netDevices: Object.fromEntries(netDevices.map(([name, device]) => [name, { name: device.name }])),
    }),
    ...(policy !== undefined && {
      memoryPolicy: {
        mode: nameIn(MpolMode, policy.mode, "memory policy"),
        nodes: policy.nodes,
        flags: policy.flags.map((flag) => nameIn(MpolFlag, flag, "memory policy flag")),
      },
    }),
    ...(Object.keys(intelRdt).length > 0 && { intelRdt }),
  };
  return {
    ...plain,
    devices: [...devices.values()],
    namespaces: [...namespaces.values()],
    resources: { ...resources, devices: [...(resources.devices ?? []), ...rules] },
    sysctl: withEntries(spec.sysctl, wish.sysctl),
    ...(propagation !== undefined && { rootfsPropagation: propagation }),
    ...(wish.seccompPolicy !== undefined && { seccomp: seccompOf(wish.seccompPolicy) }),
    ...more,
  };
}

/** A mount that spreads needs a root that does. */
function propagationOf(mounts: readonly Mount[], now: string | undefined): string | undefined {
  const asked = new Set(mounts.flatMap(({ options }) => options));
  if (asked.has("rshared") || now === "rshared") return "rshared";
  return asked.has("rslave") ? "rslave" : now;
}

function seccompOf(policy: LinuxSeccomp): NonNullable<RuntimeSpec["linux"]["seccomp"]> {
  const listener = {
    ...(policy.listenerPath !== "" && { listenerPath: policy.listenerPath }),
    ...(policy.listenerMetadata !== "" && { listenerMetadata: policy.listenerMetadata }),
  };
  return {
    defaultAction: policy.defaultAction,
    ...(policy.defaultErrno !== undefined && { defaultErrnoRet: policy.defaultErrno.value }),
    ...(policy.architectures.length > 0 && { architectures: policy.architectures }),
    ...(policy.flags.length > 0 && { flags: policy.flags }),
    ...listener,
    syscalls: policy.syscalls.map((rule) => ({
      names: rule.names,
      action: rule.action,
      ...(rule.errnoRet !== undefined && { errnoRet: rule.errnoRet.value }),
      ...(rule.args.length > 0 && {
        args: rule.args.map(({ index, value, valueTwo, op }) => ({
          index,
          value: exact(value),
          valueTwo: exact(valueTwo),
          op,
        })),
      }),
    })),
  };
}

const schedulerOf = (scheduler: NonNullable<LinuxContainerAdjustment["scheduler"]>) => ({
  policy: nameIn(LinuxSchedulerPolicy, scheduler.policy, "scheduling policy"),
  nice: scheduler.nice,
  priority: scheduler.priority,
  flags: scheduler.flags.map((flag) => nameIn(LinuxSchedulerFlag, flag, "scheduling flag")),
  runtime: exact(scheduler.runtime),
  deadline: exact(scheduler.deadline),
  period: exact(scheduler.period),
});

const hookOf = ({ path, args, env, timeout }: Hook) => ({
  path,
  ...(args.length > 0 && { args }),
  ...(env.length > 0 && { env }),
  ...(timeout !== undefined && { timeout: Number(timeout.value) }),
});

function hooksOf(spec: RuntimeSpec, { hooks }: ContainerAdjustment): Pick<RuntimeSpec, "hooks"> {
  if (hooks === undefined) return {};
  const kinds = hookKinds.filter((kind) => hooks[kind].length > 0);
  if (kinds.length === 0) return {};
  const added = kinds.map((kind) => [kind, [...(spec.hooks?.[kind] ?? []), ...hooks[kind].map(hookOf)]] as const);
  return { hooks: { ...spec.hooks, ...Object.fromEntries(added) } };
}
