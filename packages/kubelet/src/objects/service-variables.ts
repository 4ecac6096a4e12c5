import type { Service } from "@tripod/api/kubernetes";

/** A service's or port's name as part of a variable's name. */
const variableName = (name: string): string => name.toUpperCase().replaceAll("-", "_");

function variablesOf(service: Service): [name: string, value: string][] {
  const name = variableName(service.metadata?.name ?? "");
  const ip = service.spec?.clusterIP ?? "";
  const ports = service.spec?.ports ?? [];
  const first = ports[0];
  if (first === undefined) return [];
  const host = ip.includes(":") ? `[${ip}]` : ip;
  const variables: [string, string][] = [
    [`${name}_SERVICE_HOST`, ip],
    [`${name}_SERVICE_PORT`, String(first.port)],
  ];
  for (const port of ports) {
    if (port.name !== undefined && port.name !== "") {
      variables.push([`${name}_SERVICE_PORT_${variableName(port.name)}`, String(port.port)]);
    }
  }
  for (const [index, { port, protocol = "TCP" }] of ports.entries()) {
    const scheme = protocol.toLowerCase();
    const url = `${scheme}://${host}:${port}`;
    const prefix = `${name}_PORT_${port}_${protocol}`;
    if (index === 0) variables.push([`${name}_PORT`, url]);
    variables.push(
      [prefix, url],
      [`${prefix}_PROTO`, scheme],
      [`${prefix}_PORT`, String(port)],
      [`${prefix}_ADDR`, ip],
    );
  }
  return variables;
}

/**
 * The variables that tell a Pod of `namespace` where services are: those of its own namespace when it wants them (enableServiceLinks), and
 * always the API server's, default/kubernetes.
 */
export function serviceVariables(
  services: readonly Service[],
  { namespace, links }: { readonly namespace: string; readonly links: boolean },
): Map<string, string> {
  const master = (service: Service): boolean =>
    service.metadata?.namespace === "default" && service.metadata.name === "kubernetes";
  const wanted = services.filter((service) => {
    const ip = service.spec?.clusterIP ?? "";
    if (ip === "" || ip === "None") return false;
    return master(service) || (links && service.metadata?.namespace === namespace);
  });
  return new Map(wanted.toSorted((a) => (master(a) ? -1 : 1)).flatMap(variablesOf));
}
