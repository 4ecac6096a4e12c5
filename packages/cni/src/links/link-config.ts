import { checkLinkName, parseMac } from "@tripod/linux";
import { Fields } from "../json.ts";
import type { PluginCall } from "../plugin.ts";
import type { CniDns } from "../result.ts";
import { parseDns } from "../result-wire.ts";

type ConfigCall = Pick<PluginCall, "config" | "args">;

/** What every plugin that makes or moves an interface is asked by the same keys. */
export interface LinkConfig {
  /** `ipam.type`: the plugin that gives addresses; undefined for a network of layer 2 alone. */
  readonly ipam: string | undefined;
  readonly dns: CniDns;
  /** Bytes; undefined for the kernel's choice. */
  readonly mtu: number | undefined;
  /** `enabledad`: look whether another has the IPv6 addresses before they are used. */
  readonly enableDad: boolean;
}

/** The fields of a plugin's configuration; their errors name the plugin. */
export const configFields = (plugin: string, { config }: ConfigCall): Fields =>
  new Fields(config, `${plugin} configuration`);

/** Throws "invalid" for a wrong value. */
export function parseLinkConfig(plugin: string, call: ConfigCall): LinkConfig {
  const fields = configFields(plugin, call);
  const ipam = new Fields(fields.objectAt("ipam"), `${plugin} ipam`).string("type", "");
  const mtu = fields.optionalInteger("mtu", 0, 65_535) ?? 0;
  return {
    ipam: ipam === "" ? undefined : ipam,
    dns: parseDns(fields.objectAt("dns")),
    mtu: mtu === 0 ? undefined : mtu,
    enableDad: fields.boolean("enabledad", false),
  };
}

/**
 * The MAC that is asked for, in lower case: by the capability `mac`, `args.cni.mac`, CNI_ARGS (`MAC=`) or the key `mac`, the first that
 * there is. `key`: the plugin has that last one; false unless told. Throws "invalid" for what is no MAC.
 */
export function requestedMac(
  plugin: string,
  call: ConfigCall,
  { key = false }: { readonly key?: boolean } = {},
): string | undefined {
  const fields = configFields(plugin, call);
  const runtime = new Fields(fields.objectAt("runtimeConfig"), `${plugin} runtimeConfig`);
  const cniArgs = new Fields(
    new Fields(fields.objectAt("args"), `${plugin} args`).objectAt("cni"),
    `${plugin} args.cni`,
  );
  const mac = [
    runtime.optionalString("mac"),
    cniArgs.optionalString("mac"),
    call.args.get("MAC"),
    key ? fields.optionalString("mac") : undefined,
  ].find((text) => text !== undefined && text !== "");
  if (mac !== undefined) parseMac(mac);
  return mac?.toLowerCase();
}

/** The lower interface that a macvlan, ipvlan or VLAN interface is made on. */
export interface LowerConfig {
  /** `master`; undefined for that of the default route. */
  readonly master: string | undefined;
  /** `linkInContainer`: it is in the container's namespace, not the host's. */
  readonly inContainer: boolean;
}

/** Throws "invalid" for a wrong value. */
export function parseLowerConfig(plugin: string, call: ConfigCall): LowerConfig {
  const fields = configFields(plugin, call);
  const master = fields.string("master", "");
  return {
    master: master === "" ? undefined : checkLinkName(master),
    inContainer: fields.boolean("linkInContainer", false),
  };
}
