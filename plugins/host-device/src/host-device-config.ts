import { normalize } from "node:path";
import { TripodError } from "@tripod/base";
import { configFields, Fields, type LinkConfig, parseLinkConfig, type PluginCall } from "@tripod/cni/sdk";
import { checkLinkName, parseMac } from "@tripod/linux";

/** How the device is named; the first of these that a configuration has counts. */
export type DeviceReference =
  | { readonly by: "device"; readonly name: string }
  | { readonly by: "hwaddr"; readonly mac: string }
  | { readonly by: "kernelpath"; readonly path: string }
  /** `pciBusID`. */
  | { readonly by: "pci"; readonly id: string }
  /** The capability `deviceID`: on the PCI bus or on the auxiliary one. */
  | { readonly by: "deviceID"; readonly id: string };

/** What the host-device plugin is asked to do; the keys are upstream's. */
export interface HostDeviceConfig extends LinkConfig {
  readonly device: DeviceReference;
}

const wrong = (why: string): TripodError => new TripodError("invalid", `host-device configuration: ${why}`);

function busId(key: string, id: string): string {
  if (/^[\w.:-]{1,100}$/.test(id) && !/^\.\.?$/.test(id)) return id;
  throw wrong(`${key} ${JSON.stringify(id.slice(0, 40))} is not the name of a device on a bus, such as 0000:03:00.1`);
}

function kernelPath(path: string): string {
  if (path.startsWith("/sys/devices/") && normalize(path) === path && !path.includes("\0")) return path;
  throw wrong(`kernelpath ${JSON.stringify(path.slice(0, 80))} is not a path below /sys/devices/`);
}

/** Throws "invalid" for a wrong value, and when no device is named. */
export function parseHostDeviceConfig(call: Pick<PluginCall, "config" | "args">): HostDeviceConfig {
  const fields = configFields("host-device", call);
  const runtime = new Fields(fields.objectAt("runtimeConfig"), "host-device runtimeConfig");
  const text = (key: string): string => fields.string(key, "");
  // All are read, so that one which does not count is no unknown key.
  const [name, hwaddr, path, pci] = [text("device"), text("hwaddr"), text("kernelpath"), text("pciBusID")];
  const link = parseLinkConfig("host-device", call);
  const deviceId = runtime.string("deviceID", "");
  const as = (device: DeviceReference): HostDeviceConfig => ({ ...link, device });
  if (name !== "") return as({ by: "device", name: checkLinkName(name) });
  if (hwaddr !== "") {
    const mac = hwaddr.toLowerCase().replaceAll("-", ":");
    parseMac(mac);
    return as({ by: "hwaddr", mac });
  }
  if (path !== "") return as({ by: "kernelpath", path: kernelPath(path.replace(/\/+$/, "")) });
  if (deviceId !== "") return as({ by: "deviceID", id: busId("deviceID", deviceId) });
  if (pci !== "") return as({ by: "pci", id: busId("pciBusID", pci) });
  throw wrong('no device is named; give "device", "hwaddr", "kernelpath" or "pciBusID", or the capability deviceID');
}
