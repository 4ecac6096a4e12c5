import { CgroupDriver, type RuntimeService } from "@tripod/api/cri";
import { messageOf, TripodError } from "@tripod/base";
import type { ServiceImpl } from "@tripod/grpc";
import { apparmorEnabled, selinuxEnabled } from "@tripod/oci";
import type { CriContext } from "../context.ts";
import { runtimeVersion } from "./version.ts";

/** What of a runtime is missing on this machine; undefined when nothing is. */
async function runtimeProblem(context: CriContext): Promise<string | undefined> {
  try {
    for (const runtime of new Set(context.runtimes.values())) await runtime.features();
    return undefined;
  } catch (error) {
    return `${messageOf(error)}; install it, then ask again`;
  }
}

/** Version, Status, RuntimeConfig, UpdateRuntimeConfig, GetContainerEvents. */
export const runtimeHandlers = (context: CriContext) =>
  ({
    async version() {
      return { version: "0.1.0", runtimeName: "tripod", runtimeVersion, runtimeApiVersion: "v1" };
    },
    async status({ verbose }) {
      const problem = await runtimeProblem(context);
      const network = context.cni.status();
      const handlers = await Promise.all(
        [...context.runtimes].map(async ([name, runtime]) => {
          const { recursiveReadonly } = problem === undefined ? await runtime.features() : { recursiveReadonly: false };
          return { name, features: { recursiveReadOnlyMounts: recursiveReadonly, userNamespaces: false } };
        }),
      );
      const { layout, config, cgroup, cdi } = context;
      return {
        status: {
          conditions: [
            {
              type: "RuntimeReady",
              status: problem === undefined,
              reason: problem === undefined ? "" : "RuntimeMissing",
              message: problem ?? "",
            },
            {
              type: "NetworkReady",
              status: network.ready,
              reason: network.ready ? "" : "NetworkPluginNotReady",
              message: network.ready ? "" : network.reason,
            },
          ],
        },
        runtimeHandlers: handlers,
        features: { supplementalGroupsPolicy: true },
        info: verbose
          ? {
              config: JSON.stringify({ layout, config, cgroup }),
              network: JSON.stringify(network),
              cdi: JSON.stringify(cdi.overview()),
              security: JSON.stringify({ apparmor: apparmorEnabled(), selinux: selinuxEnabled() }),
            }
          : {},
      };
    },
    async runtimeConfig() {
      const systemd = context.cgroupDriver === "systemd";
      return { linux: { cgroupDriver: systemd ? CgroupDriver.SYSTEMD : CgroupDriver.CGROUPFS } };
    },
    async updateRuntimeConfig({ runtimeConfig }) {
      const podCidr = runtimeConfig?.networkConfig?.podCidr ?? "";
      if (podCidr !== "") context.config.onPodCidr?.(podCidr);
      return {};
    },
    getContainerEvents(_request, { signal }) {
      if (context.tasks.signal.aborted) throw new TripodError("unavailable", "the server is being stopped");
      return context.events.listen(signal);
    },
  }) satisfies ServiceImpl<typeof RuntimeService>;
