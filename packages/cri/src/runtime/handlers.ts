import { CgroupDriver, type RuntimeService } from "@tripod/api/cri";
import { TripodError } from "@tripod/base";
import type { ServiceImpl } from "@tripod/grpc";
import { apparmorEnabled, selinuxEnabled } from "@tripod/oci";
import type { CriContext } from "../context.ts";
import { handlerReports } from "./handler-report.ts";
import { userNamespaceProblem } from "./user-namespace-support.ts";
import { runtimeVersion } from "./version.ts";

/** Version, Status, RuntimeConfig, UpdateRuntimeConfig, GetContainerEvents. */
export const runtimeHandlers = (context: CriContext) =>
  ({
    async version() {
      return { version: "0.1.0", runtimeName: "tripod", runtimeVersion, runtimeApiVersion: "v1" };
    },
    async status({ verbose }) {
      const network = context.cni.status();
      const reports = await handlerReports(context);
      const standard = reports.find(({ name }) => name === "");
      // The others' absence is told by their not being listed: the node does without them.
      const problem =
        standard !== undefined && "problem" in standard ? `${standard.problem}; install it, then ask again` : undefined;
      const users = await userNamespaceProblem(context);
      const handlers = reports.flatMap((report) =>
        "problem" in report
          ? []
          : {
              name: report.name,
              features: {
                // What a runtime cannot mount by itself is mounted for it.
                recursiveReadOnlyMounts: report.abilities.recursiveReadonly || report.abilities.sharesKernel,
                userNamespaces: report.abilities.userNamespaces && users === undefined,
              },
            },
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
        features: { supplementalGroupsPolicy: true, userNamespacesHostNetwork: false, mountOptions: true },
        info: verbose
          ? {
              config: JSON.stringify({ layout, config, cgroup, ...context.live.state }),
              network: JSON.stringify(network),
              cdi: JSON.stringify(cdi.overview()),
              security: JSON.stringify({ apparmor: apparmorEnabled(), selinux: selinuxEnabled() }),
              userNamespaces: JSON.stringify({ problem: users }),
              handlers: JSON.stringify(
                Object.fromEntries(
                  reports
                    .filter(({ name }) => name !== "")
                    .map(({ name, ...report }) => [name, { ...context.handlers.get(name)?.settings, ...report }]),
                ),
              ),
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
