import { formatIp, type Ip, type NftTable } from "@tripod/cni/sdk";
import type { PortmapConfig, PortMapping } from "./portmap-config.ts";
import {
  type HostportElement,
  hostportTables,
  listElements,
  ownerElement,
  ownerIn,
  ownerName,
  suffixOf,
} from "./hostport-table.ts";

/** Whose mappings are spoken of. */
export interface HostportOwner {
  readonly network: string;
  readonly containerId: string;
}

/** The mappings that apply to an address. */
export const mappingsFor = ({ mappings }: PortmapConfig, { family }: Ip): readonly PortMapping[] =>
  mappings.filter((mapping) => mapping.family === undefined || mapping.family === family);

export const conditionFor = ({ conditionsV4, conditionsV6 }: PortmapConfig, { family }: Ip): string =>
  family === 4 ? conditionsV4 : conditionsV6;

interface WantedElement extends HostportElement {
  /** In a map: what the key leads to. */
  readonly target?: string;
}

/** What a container has in the table of the address's family; nothing where no mapping applies to it. */
export function wantedElements(config: PortmapConfig, address: Ip, owner: HostportOwner): readonly WantedElement[] {
  const mappings = mappingsFor(config, address);
  if (mappings.length === 0) return [];
  const container = formatIp(address);
  const comment = ownerName(owner.containerId);
  const suffix = suffixOf(conditionFor(config, address));
  const mapped = mappings.map(({ protocol, hostIp, hostPort, containerPort }): WantedElement => {
    const key = `${protocol} . ${hostPort}`;
    const target = `${container} . ${containerPort}`;
    return hostIp === undefined
      ? { set: `ports${suffix}`, key, comment, target }
      : { set: `hostip_ports${suffix}`, key: `${formatIp(hostIp)} . ${key}`, comment, target };
  });
  const sources = address.family === 4 ? [container, "127.0.0.1"] : [container];
  const hairpins = sources.map(
    (source): WantedElement => ({ set: "hairpins", key: `${source} . ${container}`, comment }),
  );
  const masqueraded = config.masqAll ? [{ set: "masq_all", key: container, comment }] : hairpins;
  // Of two mappings of one port the later counts.
  const byKey = new Map(mapped.map((element) => [`${element.set} ${element.key}`, element]));
  return [ownerElement(owner.network, owner.containerId), ...byKey.values(), ...(config.snat ? masqueraded : [])];
}

const where = ({ family, name }: NftTable, set: string): string => `${family} ${name} ${set}`;

/** Fails, as "already-exists", where one of the keys is taken: see replaceCommands(). */
export const createCommands = (table: NftTable, elements: readonly WantedElement[]): readonly string[] =>
  elements.map(({ set, key, comment, target }) => {
    const leadsTo = target === undefined ? "" : ` : ${target}`;
    return `create element ${where(table, set)} { ${key} comment "${comment}"${leadsTo} }`;
  });

export const deleteElements = (table: NftTable, elements: readonly HostportElement[]): readonly string[] =>
  elements.map(({ set, key }) => `delete element ${where(table, set)} { ${key} }`);

/** What must go before the elements can be created: what an earlier ADD of the container made, and whoever else has one of the keys. */
export function replaceCommands(
  table: NftTable,
  elements: readonly WantedElement[],
  { containerId }: HostportOwner,
): readonly string[] {
  const keys = new Set(elements.map(({ set, key }) => `${set} ${key}`));
  const name = ownerName(containerId);
  const inTheWay = listElements(table).filter(
    (element) => ownerIn(element) === name || keys.has(`${element.set} ${element.key}`),
  );
  return deleteElements(table, inTheWay);
}

/** The commands that take away all that the containers of these names have. A table in which nobody has anything goes with it. */
export const releaseCommands = (isReleased: (name: string) => boolean): readonly string[] =>
  hostportTables.flatMap((table) => {
    const elements = listElements(table);
    const released = elements.filter((element) => isReleased(ownerIn(element)));
    if (released.length === 0) return [];
    return released.length === elements.length
      ? [`delete table ${table.family} ${table.name}`]
      : deleteElements(table, released);
  });
