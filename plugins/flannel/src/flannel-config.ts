import { TripodError } from "@tripod/base";
import { configFields, Fields, type JsonObject, type PluginCall } from "@tripod/cni/sdk";
import type { SubnetEnv } from "./subnet-env.ts";

/** What the flannel plugin is asked to do; the keys are upstream's. */
export interface FlannelConfig {
  readonly subnetFile: string;
  /** Where the delegates' configurations are kept, a file a container. */
  readonly dataDir: string;
  readonly delegate: JsonObject;
  readonly ipam: JsonObject;
  readonly runtimeConfig: JsonObject | undefined;
}

/** Throws "invalid". */
export function parseFlannelConfig(call: Pick<PluginCall, "config" | "args">): FlannelConfig {
  const fields = configFields("flannel", call);
  const delegate = fields.objectAt("delegate");
  for (const key of ["name", "ipam"])
    if (Object.hasOwn(delegate, key))
      throw new TripodError("invalid", `flannel: "delegate" must not have "${key}", which flannel sets itself`);
  new Fields(delegate, "flannel delegate").string("type", "");
  return {
    subnetFile: fields.absolutePath("subnetFile", "/run/flannel/subnet.env"),
    dataDir: fields.absolutePath("dataDir", "/var/lib/cni/flannel"),
    delegate,
    ipam: fields.objectAt("ipam"),
    runtimeConfig: fields.has("runtimeConfig") ? fields.objectAt("runtimeConfig") : undefined,
  };
}

/** The delegate's configuration: what the user wrote, with this node's subnet, the routes to all Pods, MTU and masquerading put in. */
export function delegateConfig(
  config: FlannelConfig,
  env: SubnetEnv,
  named: { readonly name: string; readonly cniVersion: string },
): JsonObject & { readonly type: string } {
  const written = new Fields(config.delegate, "flannel delegate").string("type", "");
  const type = written === "" ? "bridge" : written;
  const routes = new Fields(config.ipam, "flannel ipam").objects("routes");
  return {
    ipMasq: !env.ipMasq,
    mtu: env.mtu,
    ...(type === "bridge" ? { isGateway: true } : {}),
    ...config.delegate,
    ...(config.runtimeConfig === undefined ? {} : { runtimeConfig: config.runtimeConfig }),
    name: named.name,
    cniVersion: named.cniVersion,
    type,
    ipam: {
      type: "host-local",
      ...config.ipam,
      ranges: env.subnets.map((subnet) => [{ subnet }]),
      routes: [...routes, ...env.networks.map((dst) => ({ dst }))],
    },
  };
}
