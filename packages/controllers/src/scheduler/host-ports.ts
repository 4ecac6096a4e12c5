import type { Pod } from "@tripod/api/kubernetes";

interface HostPort {
  readonly ip: string;
  readonly port: number;
  readonly protocol: string;
}

/** The ports of the node that a Pod takes. */
function hostPortsOf(pod: Pod): HostPort[] {
  const containers = [
    ...pod.spec.containers,
    ...(pod.spec.initContainers ?? []).filter((init) => init.restartPolicy === "Always"),
  ];
  return containers.flatMap((container) =>
    (container.ports ?? []).flatMap(({ hostPort, containerPort, hostIP, protocol }) => {
      const port = hostPort ?? (pod.spec.hostNetwork === true ? containerPort : 0);
      return port > 0 ? [{ ip: hostIP ?? "0.0.0.0", port, protocol: protocol ?? "TCP" }] : [];
    }),
  );
}

const isAny = (ip: string): boolean => ip === "0.0.0.0" || ip === "::" || ip === "";

/** Whether a Pod wants a port of the node that another already has. */
export function portsConflict(pod: Pod, others: readonly Pod[]): boolean {
  const wanted = hostPortsOf(pod);
  if (wanted.length === 0) return false;
  const taken = others.flatMap(hostPortsOf);
  return wanted.some((want) =>
    taken.some(
      (have) =>
        have.port === want.port &&
        have.protocol === want.protocol &&
        (have.ip === want.ip || isAny(have.ip) || isAny(want.ip)),
    ),
  );
}
