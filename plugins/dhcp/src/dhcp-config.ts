import { TripodError } from "@tripod/base";
import { Fields, type PluginCall } from "@tripod/cni/sdk";
import { options } from "./dhcp-message.ts";

/** Where the daemon listens unless told; upstream's. */
export const defaultSocketPath = "/run/cni/dhcp.sock";

/** What the `ipam` part of a configuration asks for. */
export interface DhcpConfig {
  readonly socketPath: string;
  /** Options to send, by code, as text. */
  readonly provide: readonly (readonly [code: number, value: string])[];
  /** Codes of the options to ask the server for. */
  readonly request: readonly number[];
  /** The metric of the routes; undefined for the kernel's. */
  readonly priority: number | undefined;
}

/** The names of dhcp-options(5) that upstream knows. */
const names: Readonly<Record<string, number>> = {
  "dhcp-client-identifier": options.clientIdentifier,
  "subnet-mask": options.subnetMask,
  routers: options.routers,
  "host-name": options.hostName,
  "user-class": options.userClass,
  "vendor-class-identifier": options.vendorClass,
};

/** Asked for unless told otherwise: what the result is made of. */
const requestDefaults = [
  options.subnetMask,
  options.classlessRoutes,
  options.routers,
  options.nameServers,
  options.domainName,
] as const;

/** What the protocol itself is made of, and no configuration may set. */
const own: ReadonlySet<number> = new Set([
  options.pad,
  options.requestedAddress,
  options.overload,
  options.messageType,
  options.serverIdentifier,
  options.parameterRequestList,
  options.end,
]);

function codeOf(item: Fields): number {
  const name = item.string("option", "");
  const code = names[name] ?? (/^\d{1,3}$/.test(name) ? Number(name) : 256);
  if (code < 1 || code > 254)
    throw new TripodError(
      "invalid",
      `dhcp: option ${JSON.stringify(name.slice(0, 80))} is neither a number from 1 to 254 nor one of ${Object.keys(names).join(", ")}`,
    );
  return code;
}

function provided(item: Fields, args: ReadonlyMap<string, string>): readonly (readonly [number, string])[] {
  const code = codeOf(item);
  if (own.has(code))
    throw new TripodError("invalid", `dhcp: option ${code} is the protocol's own; leave it out of "provide"`);
  const fixed = item.string("value", "");
  const value = args.get(item.string("fromArg", "")) ?? fixed;
  if (Buffer.byteLength(value) > 255)
    throw new TripodError("invalid", `dhcp: the value of option ${code} is longer than 255 bytes`);
  return value === "" ? [] : [[code, value]];
}

/** Throws "invalid" for a wrong value. */
export function parseDhcpConfig(call: Pick<PluginCall, "config" | "args">): DhcpConfig {
  const config = new Fields(call.config, "dhcp configuration");
  const ipam = new Fields(config.objectAt("ipam"), "dhcp: ipam");
  const requests = ipam.objects("request").map((object) => new Fields(object, "dhcp: ipam.request"));
  const withDefaults = requests.every((item) => !item.boolean("skipDefault", false));
  const request = [
    ...(withDefaults ? requestDefaults : []),
    ...requests.filter((item) => item.string("option", "") !== "").map(codeOf),
  ];
  const priority = ipam.optionalInteger("priority", 0, 0xffffffff) ?? 0;
  return {
    socketPath: ipam.absolutePath("daemonSocketPath", defaultSocketPath),
    provide: ipam.objects("provide").flatMap((object) => provided(new Fields(object, "dhcp: ipam.provide"), call.args)),
    request: [...new Set(request)],
    priority: priority === 0 ? undefined : priority,
  };
}
