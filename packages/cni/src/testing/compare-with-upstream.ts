import { FreshNetns } from "@tripod/linux/testing";
import { isJsonObject, type JsonObject, type JsonValue } from "../json.ts";
import type { CniPlugin } from "../plugin.ts";
import { type Callee, ownCallee, upstreamCallee } from "./callee.ts";
import { type NetworkSnapshot, networkSnapshot, snapshotDifferences } from "./network-snapshot.ts";

export interface ComparisonOptions {
  readonly plugin: CniPlugin;
  /** Plugins of ours that it may delegate to; upstream's delegates to upstream's. */
  readonly delegates?: readonly CniPlugin[];
  /** What both are given. A function is called for each with a word of its own, such as for a folder of reservations. */
  readonly config: JsonObject | ((side: string) => JsonObject);
  readonly ifname?: string;
  readonly args?: string;
  /** MACs that the configuration asks for. */
  readonly macs?: readonly string[];
  /** Makes on the host, and in the container, what both find; called for each, and disposed of after each. */
  readonly prepare?: (netns: string) => Disposable;
}

/** Differences that are wanted, of every plugin: of a line `where: upstream's, ours`. */
const wanted: readonly { readonly line: RegExp; readonly why: string }[] = [
  {
    line: /^result interfaces\.\d+\.mtu: \(none\), /,
    why: "a result of CNI 1.1 tells the MTU; upstream's main plugins do not",
  },
  { line: /^container sysctl net\/ipv6\/conf\/.*\/keep_addr_on_down: 0, 1$/, why: "upstream has it since 1.2" },
  {
    line: /^container sysctl net\/ipv6\/conf\/.*\/ndisc_notify: 0, 1$/,
    why: "upstream has it since 1.2, and in macvlan and ipvlan alone",
  },
  { line: /^container sysctl net\/ipv4\/conf\/.*\/arp_notify: 0, 1$/, why: "upstream has it in some plugins alone" },
  {
    line: /link \S+ txQueueLength: 0, 1000$/,
    why: "upstream's before 1.2 asked the kernel for no queue, by mistake",
  },
];

/** A side's state after ADD and after DEL, and what ADD printed. */
interface Side {
  readonly result: JsonObject;
  readonly host: NetworkSnapshot;
  readonly container: NetworkSnapshot;
  readonly after: NetworkSnapshot;
}

/**
 * Gives the same input to upstream's plugin and to ours, in equal surroundings, and compares what ADD made of the host's and the container's
 * namespace, what it printed, and what DEL left. The differences, a line each: `where: upstream's, ours`; those that are wanted of every plugin
 * are left out. To be run on a fresh host.
 */
export async function compareWithUpstream(options: ComparisonOptions): Promise<readonly string[]> {
  const { plugin, delegates = [], ifname = "eth0", args = "" } = options;
  const stdin = (side: string): JsonObject => ({
    cniVersion: "1.0.0",
    name: "compared",
    type: plugin.name,
    ...(typeof options.config === "function" ? options.config(side) : options.config),
  });
  const call =
    (callee: Callee, name: string): Call =>
    (command, netns, prevResult) =>
      callee.call(command, { ...stdin(name), ...prevResult }, { containerId: "compared", netns, ifname, args });
  const upstream = await side(options, call(upstreamCallee(plugin.name), "upstream"));
  const own = await side(options, call(ownCallee(plugin, delegates), "own"));
  const about = (what: string, lines: readonly string[]): readonly string[] => lines.map((line) => `${what} ${line}`);
  const differences = [
    ...about("result", snapshotDifferences(flatten(upstream.result), flatten(own.result))),
    ...about("host", snapshotDifferences(upstream.host, own.host)),
    ...about("container", snapshotDifferences(upstream.container, own.container)),
    ...about("after DEL", snapshotDifferences(upstream.after, own.after)),
  ];
  return differences.filter((difference) => !wanted.some(({ line }) => line.test(difference)));
}

type Call = (command: "ADD" | "CHECK" | "DEL", netns: string, prevResult: JsonObject) => Promise<JsonObject>;

async function side({ prepare, macs: given = [] }: ComparisonOptions, call: Call): Promise<Side> {
  using netns = new FreshNetns();
  using _prepared = prepare?.(netns.path);
  const macs = new Set(given);
  const printed = await call("ADD", netns.path, {});
  const host = networkSnapshot({ macs });
  const container = networkSnapshot({ netns: netns.path, macs });
  await call("CHECK", netns.path, { prevResult: printed });
  await call("DEL", netns.path, { prevResult: printed });
  const after = networkSnapshot({ netns: netns.path, macs });
  return { result: normalized(printed, { macs, sandbox: netns.path }), host, container, after };
}

/** A result without what the kernel or chance chose. */
function normalized(
  result: JsonObject,
  { macs, sandbox }: { readonly macs: ReadonlySet<string>; readonly sandbox: string },
): JsonObject {
  const text = JSON.stringify(result, (key, value: JsonValue) => {
    if (typeof value !== "string") return value;
    if (key === "mac") return macs.has(value) ? value : "by chance";
    if (key === "sandbox" && value === sandbox) return "the container's";
    return key === "name" && /^veth[0-9a-f]+$/.test(value) ? "veth*" : value;
  });
  return JSON.parse(text) as JsonObject; // it was one
}

function flatten(value: JsonValue, at = ""): ReadonlyMap<string, string> {
  const facts = new Map<string, string>();
  const entries = Array.isArray(value) ? [...value.entries()] : isJsonObject(value) ? Object.entries(value) : undefined;
  if (entries === undefined) return facts.set(at, JSON.stringify(value));
  for (const [key, item] of entries)
    for (const [path, fact] of flatten(item, at === "" ? String(key) : `${at}.${key}`)) facts.set(path, fact);
  return facts;
}
