import { failpoint, messageOf, TripodError } from "@tripod/base";
import {
  attachmentOf,
  chainedResult,
  CniError,
  cniCodes,
  type CniPlugin,
  type CniResult,
  definePlugin,
  differs,
  type PluginCall,
  Teardown,
} from "@tripod/cni/sdk";
import {
  leadIngress,
  limitEgress,
  type Link,
  linkDeleteOffThread,
  openRtnetlink,
  removeQdisc,
  type Rtnetlink,
  type TokenBucket,
} from "@tripod/linux";
import { type BandwidthConfig, parseBandwidthConfig } from "./bandwidth-config.ts";
import { findIfb, makeIfb, staleIfbs } from "./ifb.ts";

/** The host's end of the container's veth. */
function hostEnd(call: PluginCall, host: Rtnetlink): Link | undefined {
  using there = openRtnetlink({ netns: call.netns });
  const own = there.findLink(call.ifname);
  const end = own?.kind === "veth" && own.parent !== undefined ? host.findLink(own.parent) : undefined;
  // An index may be another interface's here when the other end is in a third namespace.
  return end?.kind === "veth" && end.parent === own?.index ? end : undefined;
}

function requiredEnd(call: PluginCall, host: Rtnetlink): Link {
  const end = hostEnd(call, host);
  if (end !== undefined) return end;
  throw new TripodError(
    "failed-precondition",
    `bandwidth: ${call.ifname} in ${call.netns} has no end on the host, where its packets could be held; put bandwidth behind a plugin that makes a veth, such as bridge or ptp`,
  );
}

async function add(call: PluginCall): Promise<CniResult> {
  const config = parseBandwidthConfig(call);
  if (config.ingress === undefined && config.egress === undefined && call.prevResult !== undefined)
    return call.prevResult;
  const result = chainedResult("bandwidth", call);
  using host = openRtnetlink();
  const end = requiredEnd(call, host);
  try {
    if (config.ingress !== undefined) await limitEgress({ index: end.index }, config.ingress);
    failpoint("bandwidth.ingress-limited");
    if (config.egress === undefined) return result;
    const ifb = makeIfb(host, attachmentOf(call), end.mtu);
    failpoint("bandwidth.ifb-made");
    // The bucket first: there is no time in which anything passes by it.
    await limitEgress({ index: ifb.index }, config.egress);
    await leadIngress({ index: end.index }, ifb.index);
    failpoint("bandwidth.egress-limited");
    return { ...result, interfaces: [...result.interfaces, { name: ifb.name, mac: ifb.mac }] };
  } catch (error) {
    try {
      await del(call);
    } catch (second) {
      throw new AggregateError([error, second], "bandwidth: ADD failed, and so did taking it back");
    }
    throw error;
  }
}

/** The host's end is led away from the ifb before that goes: packets led to an interface that is gone are lost. */
async function del(call: PluginCall): Promise<void> {
  const teardown = new Teardown();
  using host = openRtnetlink();
  const end = call.netns === "" ? undefined : hostEnd(call, host);
  const ifb = findIfb(host, attachmentOf(call));
  await teardown.attempt(async () => {
    if (end === undefined) return; // gone with the namespace, and the qdiscs with it
    const kinds = new Set(host.qdiscs(end.index).map(({ kind }) => kind));
    if (kinds.has("tbf")) await removeQdisc({ index: end.index }, "root");
    if (ifb !== undefined && kinds.has("ingress")) await removeQdisc({ index: end.index }, "ingress");
  });
  await teardown.attempt(async () => {
    if (ifb !== undefined) await linkDeleteOffThread(ifb.index);
  });
  teardown.finish(`bandwidth: detach ${call.ifname} of ${call.containerId}`);
}

function checkBucket(host: Rtnetlink, link: Link, wanted: TokenBucket): void {
  const found = host.qdiscs(link.index).find(({ kind, root }) => kind === "tbf" && root)?.tokenBucket;
  if (found === undefined) throw differs("bandwidth", `${link.name} has no token bucket`);
  for (const key of ["rate", "limit", "bufferTicks"] as const)
    if (found[key] !== wanted[key])
      throw differs(
        "bandwidth",
        `the token bucket of ${link.name} has the ${key} ${found[key]} instead of ${wanted[key]}`,
      );
}

function check(call: PluginCall): void {
  const config: BandwidthConfig = parseBandwidthConfig(call);
  if (config.ingress === undefined && config.egress === undefined) return;
  using host = openRtnetlink();
  const end = hostEnd(call, host);
  if (end === undefined) throw differs("bandwidth", `the host's end of ${call.ifname} is gone`);
  if (config.ingress !== undefined) checkBucket(host, end, config.ingress);
  if (config.egress === undefined) return;
  const ifb = findIfb(host, attachmentOf(call));
  if (ifb === undefined) throw differs("bandwidth", `the ifb of ${call.ifname} is gone`);
  if (!ifb.up) throw differs("bandwidth", `${ifb.name} is down`);
  checkBucket(host, ifb, config.egress);
  if (!host.qdiscs(end.index).some(({ kind }) => kind === "ingress"))
    throw differs("bandwidth", `${end.name} no longer leads to ${ifb.name}`);
}

async function gc(call: PluginCall): Promise<void> {
  using host = openRtnetlink();
  const valid = call.validAttachments.map((attachment) => ({ ...attachment, network: call.network }));
  for (const { index } of staleIfbs(host, call.network, valid)) await linkDeleteOffThread(index);
}

/** Whether the kernel has what ADD needs is seen by doing it, in a namespace of nobody's: not here, where it would cost a call its time. */
function status(call: PluginCall): void {
  try {
    parseBandwidthConfig(call);
    using host = openRtnetlink();
    host.links();
  } catch (error) {
    throw new CniError(cniCodes.pluginNotAvailable, `bandwidth: ${messageOf(error)}`, { cause: error });
  }
}

/** Holds a container's traffic at a rate, each way. Stands behind a plugin that makes a veth. */
export const bandwidth: CniPlugin = definePlugin({
  name: "bandwidth",
  add,
  del,
  check,
  gc,
  status,
  validate: parseBandwidthConfig,
});
