import {
  Controller,
  GroupController,
  GroupControllerServiceCapability_RPC_Type as GroupRpc,
  Identity,
  Node,
  SnapshotMetadata,
} from "@tripod/api/csi";
import { isTripodError, messageOf, TripodError } from "@tripod/base";
import { type CallContext, implement, type ServiceBinding } from "@tripod/grpc";
import { controllerCapabilitiesOf, nodeCapabilitiesOf, pluginCapabilitiesOf } from "./capabilities.ts";
import { checkRequest } from "./check-request.ts";
import type { Driver, SnapshotMetadataMethods } from "./driver.ts";
import { VolumeTurns } from "./volume-turns.ts";

type Method = (request: object, context: CallContext) => Promise<unknown>;

/** The gRPC services of a driver: its own methods behind the checks and the turns, and the answers that follow from them. */
export function driverServices(driver: Driver): ServiceBinding[] {
  const turns = new VolumeTurns();
  const guarded = (methods: object): Record<string, Method> =>
    Object.fromEntries(
      Object.entries(methods)
        .filter(([, method]) => method !== undefined)
        .map(([name, method]) => [name, guard(name, method as Method, methods, turns)]), // ServiceImpl's values are methods
    );
  const services = [identityOf(driver)];
  if (driver.controller !== undefined) {
    const capabilities = rpcs(controllerCapabilitiesOf(driver));
    const handlers = { ...guarded(driver.controller), controllerGetCapabilities: async () => ({ capabilities }) };
    services.push({ service: Controller, handlers });
  }
  if (driver.groupController !== undefined) {
    const capabilities = rpcs([GroupRpc.CREATE_DELETE_GET_VOLUME_GROUP_SNAPSHOT]);
    const own = { groupControllerGetCapabilities: async () => ({ capabilities }) };
    services.push({ service: GroupController, handlers: { ...guarded(driver.groupController), ...own } });
  }
  if (driver.snapshotMetadata !== undefined)
    services.push({ service: SnapshotMetadata, handlers: guardedStreams(driver.snapshotMetadata) });
  if (driver.node !== undefined) {
    const capabilities = rpcs(nodeCapabilitiesOf(driver));
    const handlers = { ...guarded(driver.node), nodeGetCapabilities: async () => ({ capabilities }) };
    services.push({ service: Node, handlers });
  }
  return services;
}

const rpcs = <T>(types: readonly T[]) => types.map((type) => ({ type: { case: "rpc" as const, value: { type } } }));

/** Streams only read, so they need no turn. */
function guardedStreams(methods: SnapshotMetadataMethods): SnapshotMetadataMethods {
  const { getMetadataAllocated, getMetadataDelta } = methods;
  return {
    ...(getMetadataAllocated !== undefined && {
      getMetadataAllocated(request, context) {
        checkRequest("getMetadataAllocated", request);
        return getMetadataAllocated.call(methods, request, context);
      },
    }),
    ...(getMetadataDelta !== undefined && {
      getMetadataDelta(request, context) {
        checkRequest("getMetadataDelta", request);
        return getMetadataDelta.call(methods, request, context);
      },
    }),
  };
}

function guard(name: string, method: Method, methods: object, turns: VolumeTurns): Method {
  return async (request, context) => {
    checkRequest(name, request);
    return turns.run(name, request, () => method.call(methods, request, context));
  };
}

function identityOf(driver: Driver): ServiceBinding {
  const { services, expansion } = pluginCapabilitiesOf(driver);
  return implement(Identity, {
    async getPluginInfo() {
      return { name: driver.name, vendorVersion: driver.version, manifest: { ...driver.manifest } };
    },
    async getPluginCapabilities() {
      return {
        capabilities: [
          ...services.map((type) => ({ type: { case: "service" as const, value: { type } } })),
          ...(expansion === undefined
            ? []
            : [{ type: { case: "volumeExpansion" as const, value: { type: expansion } } }]),
        ],
      };
    },
    async probe() {
      try {
        return { ready: (await driver.probe?.()) ?? true };
      } catch (error) {
        if (isTripodError(error, "failed-precondition")) throw error;
        throw new TripodError("failed-precondition", `probe ${driver.name}: ${messageOf(error)}`, { cause: error });
      }
    },
  });
}
