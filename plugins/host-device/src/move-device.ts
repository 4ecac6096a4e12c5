import { failpoint, messageOf, TripodError } from "@tripod/base";
import { type Link, openRtnetlink } from "@tripod/linux";
import type { LinkPlaces, PluginCall } from "@tripod/cni/sdk";

/** The plugin's own namespace, which is the host's. */
const hostNetns = "/proc/thread-self/ns/net";

/** The name that the device has on the host: it stands in the alias, as upstream has it, and so survives all that knew it. */
export const hostNameOf = ({ alias }: Link): string | undefined =>
  alias === undefined || alias === "" ? undefined : alias;

/**
 * Moves a device into the call's namespace and renames it in the same step, so that it is never there under a name that another may have.
 * What fails is taken back: the device is on the host then as it was. `hostName`: what DEL is to call it.
 */
export function moveIn(
  { netns, ifname }: PluginCall,
  device: Link,
  { host, there, hostName }: LinkPlaces & { readonly hostName: string },
): void {
  if (device.loopback)
    throw new TripodError(
      "invalid",
      `host-device: ${device.name} is the host's loopback interface, which cannot be moved`,
    );
  host.linkSet(device.index, { alias: hostName });
  failpoint("host-device.marked");
  try {
    host.linkSet(device.index, { netns, name: ifname });
  } catch (error) {
    const inside = [ifname, device.name].map((name) => there.findLink(name)).find((link) => link?.alias === hostName);
    if (inside !== undefined) there.linkSet(inside.index, { netns: hostNetns, name: device.name });
    host.linkSet(device.name, { alias: device.alias ?? "", up: device.up });
    throw error;
  }
}

/** Moves the device back under its own name; it stays down. A name that another has taken is "failed-precondition". */
export function moveOut({ netns, ifname }: PluginCall, device: Link): void {
  const name = hostNameOf(device);
  if (name === undefined) return;
  using host = openRtnetlink();
  using there = openRtnetlink({ netns });
  if (host.findLink(name) !== undefined)
    throw new TripodError(
      "failed-precondition",
      `host-device: move ${ifname} back out of ${netns}: the host has another interface ${name} by now; rename that one`,
    );
  try {
    there.linkSet(device.index, { netns: hostNetns, name });
  } catch (cause) {
    throw new TripodError(
      "internal",
      `host-device: move ${ifname} back out of ${netns} as ${name}: ${messageOf(cause)}`,
      {
        cause,
      },
    );
  }
  failpoint("host-device.moved-back");
  host.linkSet(name, { alias: "" });
}
