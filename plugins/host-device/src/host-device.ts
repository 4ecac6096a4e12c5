import { type CniPlugin, defineLinkPlugin } from "@tripod/cni/sdk";
import { findDevice, userspaceDevice } from "./find-device.ts";
import { type HostDeviceConfig, parseHostDeviceConfig } from "./host-device-config.ts";
import { hostNameOf, moveIn, moveOut } from "./move-device.ts";

/** An interface of the host, lent to a container. */
export const hostDevice: CniPlugin = defineLinkPlugin<HostDeviceConfig>({
  name: "host-device",
  needsIpam: false,
  parse: parseHostDeviceConfig,
  withoutInterface: ({ device }) => userspaceDevice(device) !== undefined,
  make(call, { device }, places) {
    const link = findDevice(device, places.host);
    moveIn(call, link, { ...places, hostName: device.by === "device" ? device.name : link.name });
  },
  // Any kind may be lent; the alias tells one from what the container has of others.
  owns: (link) => hostNameOf(link) !== undefined,
  remove: moveOut,
  describe({ device }) {
    const id = userspaceDevice(device);
    return id === undefined ? {} : { pciID: id };
  },
});
