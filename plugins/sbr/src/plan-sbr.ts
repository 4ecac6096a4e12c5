import { containsIp, formatCidr, networkOf, parseCidr, parseIp } from "@tripod/cni/sdk";
import { type Route, type RouteSpec, routeSpecOf, type Rule, type RuleSpec } from "@tripod/linux";
import type { SbrConfig } from "./sbr-config.ts";

/** An address of the container's interface. */
export interface SbrAddress {
  /** With its prefix: "10.1.0.5/24". */
  readonly address: string;
  readonly gateway: string | undefined;
}

/** What the namespace has before. */
export interface SbrState {
  readonly index: number;
  readonly rules: readonly Rule[];
  /** Of every interface, in every table. */
  readonly routes: readonly Route[];
}

/** A step of ADD, in order. */
export type SbrOperation =
  | { readonly kind: "add-rule"; readonly rule: RuleSpec }
  | { readonly kind: "replace-route"; readonly route: RouteSpec }
  | { readonly kind: "delete-route"; readonly route: RouteSpec };

/** The first table that upstream takes, too. */
const firstTable = 100;
const mainTable = 254;

const familyName = (family: 4 | 6) => (family === 4 ? "ipv4" : "ipv6");

/** Tables that nothing leads into and in which nothing is, from 100 upwards. */
function* freeTables({ rules, routes }: SbrState): Generator<number, never> {
  const taken = new Set([...rules, ...routes].map(({ table }) => table));
  for (let table = firstTable; ; table += 1) if (!taken.has(table)) yield table;
}

/** Whether a route of the interface is for packets from `address`: by its source or gateway, or because it has neither. */
function isFor(route: Route, address: string): boolean {
  const cidr = parseCidr(address);
  if (route.family !== familyName(cidr.ip.family)) return false;
  const within = (text: string | undefined): boolean => text !== undefined && containsIp(cidr, parseIp(text));
  return within(route.src) || within(route.gateway) || (route.src === undefined && route.gateway === undefined);
}

/** Link-local and multicast routes are the interface's own, whatever its addresses. */
const isKernels = ({ dst }: Route): boolean => /^(fe80|ff)/i.test(dst);

/** The rules that lead what comes from each address into a table, and the interface's routes moved there from the main table. */
export function planSbr(config: SbrConfig, addresses: readonly SbrAddress[], state: SbrState): readonly SbrOperation[] {
  const ruleOf = (address: string, table: number): SbrOperation => {
    const { ip } = parseCidr(address);
    const from = formatCidr({ ip, prefix: ip.family === 4 ? 32 : 128 });
    return { kind: "add-rule", rule: { family: familyName(ip.family), from, table } };
  };
  const { table } = config;
  if (table !== undefined) return addresses.map(({ address }) => ruleOf(address, table));
  const tables = freeTables(state);
  const own = state.routes.filter(
    (route) => route.index === state.index && route.table === mainTable && !isKernels(route),
  );
  const moved = addresses.flatMap(({ address, gateway }): SbrOperation[] => {
    const target = tables.next().value;
    const { family } = parseCidr(address).ip;
    const way = config.gateways.get(family) ?? gateway;
    // Routes that name no gateway first: a gateway is reached by one of them.
    const routes = own.filter((route) => isFor(route, address)).toSorted((a, b) => rank(a) - rank(b));
    const copies = routes.map(
      (route): SbrOperation => ({ kind: "replace-route", route: { ...routeSpecOf(route), table: target } }),
    );
    const fallback: SbrOperation[] =
      way === undefined
        ? []
        : [
            {
              kind: "replace-route",
              route: {
                dst: "default",
                family: familyName(family),
                gateway: way,
                index: state.index,
                table: target,
              },
            },
          ];
    const direct = copies.filter((_, at) => routes[at]?.gateway === undefined);
    const further = copies.filter((_, at) => routes[at]?.gateway !== undefined);
    return [...direct, ...fallback, ...further, ruleOf(address, target)];
  });
  const hints = config.addSourceHints
    ? addresses.map(({ address }): SbrOperation => {
        const cidr = parseCidr(address);
        const subnet = formatCidr({ ip: networkOf(cidr), prefix: cidr.prefix });
        const src = address.slice(0, address.indexOf("/"));
        return {
          kind: "replace-route",
          route: {
            dst: subnet,
            family: familyName(cidr.ip.family),
            index: state.index,
            src,
            scope: cidr.ip.family === 4 ? "link" : "global",
            table: mainTable,
            // IPv6 keeps routes apart by metric: this one is to stand in the place of the kernel's.
            ...(cidr.ip.family === 6 ? { metric: 256 } : {}),
          },
        };
      })
    : [];
  const gone = own
    .filter((route) => !config.addSourceHints || route.gateway !== undefined || route.dst === "default")
    .toSorted((a, b) => rank(b) - rank(a))
    .map((route): SbrOperation => ({ kind: "delete-route", route: { ...routeSpecOf(route), table: mainTable } }));
  return [...moved, ...hints, ...gone];
}

/** Gateways must be reachable when a route by them is made, and are so by routes without one. */
const rank = ({ gateway }: Route): number => (gateway === undefined ? 0 : 1);
