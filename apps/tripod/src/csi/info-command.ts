import {
  ControllerServiceCapability_RPC_Type as ControllerRpc,
  GroupControllerServiceCapability_RPC_Type as GroupRpc,
  NodeServiceCapability_RPC_Type as NodeRpc,
  PluginCapability_Service_Type as Service,
  PluginCapability_VolumeExpansion_Type as Expansion,
} from "@tripod/api/csi";
import { isTripodError } from "@tripod/base";
import type { CsiDriverClient } from "@tripod/csi";
import { Command } from "commander";
import { type CallOptions, enumName, facts, print, withCallOptions, withDriver } from "./driver-call.ts";

/** All that a driver says of itself. */
interface DriverInfo {
  readonly name: string;
  readonly version: string;
  readonly manifest: Readonly<Record<string, string>>;
  readonly ready: boolean;
  readonly services: readonly string[];
  readonly expansion: string;
  readonly controller: readonly string[];
  readonly groupController: readonly string[];
  readonly node: readonly string[];
  readonly nodeId: string;
  readonly maxVolumesPerNode: number;
  readonly topology: Readonly<Record<string, string>>;
}

/** The reply, or undefined from a driver without that service. */
async function optional<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (isTripodError(error, "unimplemented")) return undefined;
    throw error;
  }
}

type Rpc<T> = {
  readonly type: { readonly case: "rpc"; readonly value: { readonly type: T } } | { readonly case: undefined };
};
const namesOf = <T extends number>(
  list: readonly Rpc<T>[] | undefined,
  names: Readonly<Record<string, number>>,
): string[] => (list ?? []).flatMap(({ type }) => (type.case === "rpc" ? [enumName(names, type.value.type)] : []));
async function ask({ identity, controller, groupController, node }: CsiDriverClient): Promise<DriverInfo> {
  const { name, vendorVersion: version, manifest } = await identity.getPluginInfo({});
  const { ready } = await identity.probe({});
  const { capabilities } = await identity.getPluginCapabilities({});
  const info = await optional(node.nodeGetInfo({}));
  return {
    name,
    version,
    manifest: { ...manifest },
    ready: ready !== false,
    services: capabilities.flatMap(({ type }) => (type.case === "service" ? [enumName(Service, type.value.type)] : [])),
    expansion: capabilities
      .flatMap(({ type }) => (type.case === "volumeExpansion" ? [enumName(Expansion, type.value.type)] : []))
      .join(),
    controller: namesOf((await optional(controller.controllerGetCapabilities({})))?.capabilities, ControllerRpc),
    groupController: namesOf(
      (await optional(groupController.groupControllerGetCapabilities({})))?.capabilities,
      GroupRpc,
    ),
    node: namesOf((await optional(node.nodeGetCapabilities({})))?.capabilities, NodeRpc),
    nodeId: info?.nodeId ?? "",
    maxVolumesPerNode: Number(info?.maxVolumesPerNode ?? 0n),
    topology: { ...info?.accessibleTopology?.segments },
  };
}

/** `tripod csi info`: who a driver is, and what it can do. */
export function infoCommand(): Command {
  return withCallOptions(new Command("info"))
    .description("Show a driver's name, readiness, capabilities and node")
    .addHelpText(
      "after",
      "\nExample:\n  tripod csi info --endpoint unix:///var/lib/kubelet/plugins/hostpath.csi.tripod.dev/csi.sock",
    )
    .action((options: CallOptions) =>
      withDriver(options, async (client) => {
        const info = await ask(client);
        if (options.json) {
          print(JSON.stringify(info, null, 2));
          return;
        }
        const pairs = (map: Readonly<Record<string, string>>): string =>
          Object.entries(map)
            .map(([key, value]) => `${key}=${value}`)
            .join(", ");
        print(
          facts([
            ["name", info.name],
            ["version", info.version],
            ["ready", info.ready ? "yes" : "no"],
            ["manifest", pairs(info.manifest)],
            ["services", info.services.join(", ")],
            ["expansion", info.expansion],
            ["controller", info.controller.join(", ")],
            ["group controller", info.groupController.join(", ")],
            ["node", info.node.join(", ")],
            ["node id", info.nodeId],
            ["volumes a node", info.maxVolumesPerNode > 0 ? String(info.maxVolumesPerNode) : ""],
            ["topology", pairs(info.topology)],
          ]),
        );
      }),
    );
}
