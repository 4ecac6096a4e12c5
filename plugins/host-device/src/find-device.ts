import { existsSync, readdirSync, readlinkSync } from "node:fs";
import { basename, join } from "node:path";
import type { Link, Rtnetlink } from "@tripod/linux";
import { TripodError } from "@tripod/base";
import type { DeviceReference } from "./host-device-config.ts";

/** Where the kernel shows its devices. */
const sysfs = "/sys";

/** Drivers that hand a device to a program (DPDK): there is no interface of the kernel's to move. */
const userspaceDrivers: ReadonlySet<string> = new Set(["vfio-pci", "uio_pci_generic", "igb_uio"]);

const missing = (what: string, hint: string): TripodError =>
  new TripodError("failed-precondition", `host-device: ${what}; ${hint}`);

/** The interface's name, by the first entry of a folder `net` of a device. */
function firstInterface(netDir: string): string {
  let names: readonly string[] = [];
  try {
    names = readdirSync(netDir).toSorted();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error; // node:fs throws these alone
  }
  const [name] = names;
  if (name !== undefined) return name;
  throw missing(`there is no interface in ${netDir}`, "it may be in a container already, or have no driver");
}

/** A PCI device's folder `net`; a virtio device has it one level down. */
function pciNetDir(device: string): string {
  if (existsSync(join(device, "net"))) return join(device, "net");
  const virtio = existsSync(device) ? readdirSync(device).find((name) => name.startsWith("virtio")) : undefined;
  return virtio === undefined ? join(device, "net") : join(device, virtio, "net");
}

const pciDir = (sys: string, id: string): string => join(sys, "bus/pci/devices", id);

/** The folder `net` of the device in sysfs, for those that are found by it. */
function netDirOf(device: Exclude<DeviceReference, { by: "device" | "hwaddr" }>, sys: string): string {
  if (device.by === "kernelpath") return join(device.path, "net");
  if (existsSync(pciDir(sys, device.id))) return pciNetDir(pciDir(sys, device.id));
  const auxiliary = join(sys, "bus/auxiliary/devices", device.id);
  if (device.by === "deviceID" && existsSync(auxiliary)) return join(auxiliary, "net");
  throw missing(`there is no device ${device.id}`, "lspci -D lists those of the PCI bus");
}

/**
 * The interface on the host that the reference means; "failed-precondition" when there is none. Hardware whose container ended before DEL
 * came back by the kernel's hand, under the container's name for it: it is known by its alias.
 */
export function findDevice(device: DeviceReference, host: Rtnetlink, { sys = sysfs } = {}): Link {
  if (device.by === "hwaddr") {
    const link = host.links().find(({ mac }) => mac === device.mac);
    if (link === undefined) throw missing(`no interface has the MAC ${device.mac}`, "it may be in a container already");
    return link;
  }
  const name = device.by === "device" ? device.name : firstInterface(netDirOf(device, sys));
  const link = host.findLink(name) ?? host.links().find(({ alias }) => alias === name);
  if (link === undefined) throw missing(`there is no interface ${name}`, "it may be in a container already");
  return link;
}

/** The id of the PCI device that a program of the container's drives by itself; undefined for any other. */
export function userspaceDevice(device: DeviceReference, { sys = sysfs } = {}): string | undefined {
  if (device.by !== "pci" && device.by !== "deviceID") return undefined;
  try {
    const driver = basename(readlinkSync(join(pciDir(sys, device.id), "driver")));
    return userspaceDrivers.has(driver) ? device.id : undefined;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException; // node:fs throws these alone
    if (code === "ENOENT" || code === "EINVAL") return undefined;
    throw error;
  }
}
