import { setTimeout } from "node:timers/promises";
import { openRtnetlink } from "@tripod/linux";
import { CniError, cniCodes } from "../cni-error.ts";

/** The kernel takes one to two seconds; without a carrier it never begins. */
const limitMs = 10_000;
const intervalMs = 20;

/**
 * Waits until duplicate address detection is through with the interface's IPv6 addresses. An address that another has already fails with
 * CNI code 11, as does a detection that does not come to an end in ten seconds.
 */
export async function settleAddresses(
  plugin: string,
  { netns, ifname, signal }: { readonly netns: string; readonly ifname: string; readonly signal: AbortSignal },
): Promise<void> {
  using there = openRtnetlink({ netns });
  const { index } = there.linkByName(ifname);
  for (const start = performance.now(); ; await setTimeout(intervalMs, undefined, { signal })) {
    const addresses = there.addresses({ index, family: "ipv6" }).filter(({ scope }) => scope === "global");
    const taken = addresses.find(({ dadFailed }) => dadFailed);
    if (taken !== undefined)
      throw new CniError(
        cniCodes.tryAgainLater,
        `${plugin}: another host of ${ifname}'s network has ${taken.address} already`,
      );
    const waiting = addresses.find(({ tentative }) => tentative);
    if (waiting === undefined) return;
    if (performance.now() - start > limitMs)
      throw new CniError(
        cniCodes.tryAgainLater,
        `${plugin}: duplicate address detection of ${waiting.address} on ${ifname} did not end in ${limitMs / 1000} s; is there a carrier?`,
      );
  }
}
