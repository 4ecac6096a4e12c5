import { TripodError } from "@tripod/base";
import { configFields, Fields, type PluginCall } from "@tripod/cni/sdk";
import { parseMac, sysctlFile } from "@tripod/linux";

/** Where the values from before are kept unless told; upstream's default. */
const defaultDataDir = "/run/cni/tuning";

/** A kernel parameter to set. */
export interface Sysctl {
  /** With slashes, below /proc/sys: "net/ipv4/conf/eth0/arp_filter". */
  readonly name: string;
  readonly value: string;
}

/** What the tuning plugin is asked to do; the keys are upstream's. What is undefined stays as it is. */
export interface TuningConfig {
  readonly dataDir: string;
  readonly sysctls: readonly Sysctl[];
  /** In lower case. */
  readonly mac: string | undefined;
  readonly mtu: number | undefined;
  readonly promiscuous: boolean;
  readonly allMulticast: boolean | undefined;
  readonly txQueueLength: number | undefined;
}

type ConfigCall = Pick<PluginCall, "config" | "args" | "ifname">;

/**
 * The parameter that a key means: dots or slashes separate, as its first separator says, and IFNAME stands for the interface. Throws
 * "invalid" for one outside net.*: others are not of a network namespace.
 */
export function sysctlName(key: string, ifname: string): string {
  const dotted = /[./]/.exec(key)?.[0] === ".";
  const slashes = dotted ? key.replace(/[./]/g, (separator) => (separator === "." ? "/" : ".")) : key;
  const name = slashes.replace("IFNAME", ifname);
  if (name.startsWith("net/")) {
    sysctlFile(name);
    return name;
  }
  throw new TripodError("invalid", `tuning: sysctl ${JSON.stringify(key)} is not one of net.*`);
}

function parseSysctls(sources: readonly Fields[], ifname: string): readonly Sysctl[] {
  const values = new Map<string, string>();
  for (const source of sources) {
    const seen = new Set<string>();
    for (const [key, value] of Object.entries(source.objectAt("sysctl"))) {
      if (typeof value !== "string")
        throw new TripodError("invalid", `tuning: sysctl ${JSON.stringify(key)}: its value must be a string`);
      const name = sysctlName(key, ifname);
      if (seen.has(name))
        throw new TripodError("invalid", `tuning: sysctl ${name} is given twice; leave one of the two out`);
      seen.add(name);
      values.set(name, value); // what args.cni says comes later and counts
    }
  }
  return [...values].map(([name, value]) => ({ name, value }));
}

/** Reads the configuration; `args.cni` goes before the capability `mac`, CNI_ARGS and the keys. Throws "invalid". */
export function parseTuningConfig(call: ConfigCall): TuningConfig {
  const fields = configFields("tuning", call);
  const runtime = new Fields(fields.objectAt("runtimeConfig"), "tuning runtimeConfig");
  const cniArgs = new Fields(new Fields(fields.objectAt("args"), "tuning args").objectAt("cni"), "tuning args.cni");
  const both = [cniArgs, fields];
  const whole = (key: string, max: number): number | undefined =>
    both.map((source) => source.optionalInteger(key, 0, max)).find((value) => value !== undefined);
  const yesOrNo = (key: string): boolean | undefined => both.find((source) => source.has(key))?.boolean(key, false);
  const mac = [
    cniArgs.optionalString("mac"),
    runtime.optionalString("mac"),
    call.args.get("MAC"),
    fields.optionalString("mac"),
  ].find((text) => text !== undefined && text !== "");
  if (mac !== undefined) parseMac(mac);
  const mtu = whole("mtu", 0xffffffff);
  return {
    dataDir: fields.absolutePath("dataDir", defaultDataDir),
    sysctls: parseSysctls([fields, cniArgs], call.ifname),
    mac: mac?.toLowerCase(),
    mtu: mtu === 0 ? undefined : mtu,
    promiscuous: yesOrNo("promisc") ?? false,
    allMulticast: yesOrNo("allmulti"),
    txQueueLength: whole("txQLen", 0xffffffff),
  };
}
