import { isErrno, type Rtnetlink, readSysctl, writeSysctl } from "@tripod/linux";
import { failpoint, isTripodError, TripodError } from "@tripod/base";
import type { Operation } from "./operation.ts";

export interface ApplyOptions {
  /** The plugin's name: what its failpoints, one a step, begin with. */
  readonly plugin: string;
  /** Path of the namespace of `rtnetlink`, for its sysctls; the caller's own unless told. */
  readonly netns?: string | undefined;
}

/** Performs a plan in the namespace of `rtnetlink`. A bridge or VLAN interface that is there by now is taken as it is. */
export function applyOperations(operations: readonly Operation[], rtnetlink: Rtnetlink, options: ApplyOptions): void {
  const indexOf = (name: string): number => rtnetlink.linkByName(name).index;
  for (const operation of operations) {
    switch (operation.kind) {
      case "add-link": {
        const { link, under } = operation;
        const spec = under !== undefined && link.kind === "vlan" ? { ...link, parent: indexOf(under) } : link;
        try {
          rtnetlink.linkAdd(spec);
        } catch (error) {
          if (isErrno(error, "EOPNOTSUPP") && link.kind === "bridge" && link.vlanFiltering === true)
            throw noVlans(link.name, error);
          // Another process made the same one on the host between the look and the step; a veth of this name is a mistake.
          if (link.kind === "veth" || !isTripodError(error, "already-exists")) throw error;
        }
        break;
      }
      case "set-link": {
        const { name, changes, bridge } = operation;
        rtnetlink.linkSet(name, bridge === undefined ? changes : { ...changes, master: indexOf(bridge) });
        break;
      }
      case "add-vlan": {
        const { name, vlan, self } = operation;
        rtnetlink.bridgeVlanAdd({ index: indexOf(name), vlan, self });
        break;
      }
      case "clear-vlans": {
        const index = indexOf(operation.name);
        for (const vlan of rtnetlink.bridgeVlans().get(index) ?? []) {
          rtnetlink.bridgeVlanDelete({ index, vlan: { id: vlan.id } });
        }
        break;
      }
      case "add-address":
        rtnetlink.addressReplace({ ...operation.address, index: indexOf(operation.name) });
        break;
      case "delete-address":
        rtnetlink.addressDelete({ address: operation.address, index: indexOf(operation.name) });
        break;
      case "add-route":
        rtnetlink.routeReplace({ ...operation.route, index: indexOf(operation.name) });
        break;
      case "set-sysctl":
        setSysctl(operation.name, operation.value, options.netns);
        break;
    }
    failpoint(`${options.plugin}.${operation.kind}`);
  }
}

const noVlans = (name: string, cause: unknown): TripodError =>
  new TripodError(
    "unimplemented",
    `make bridge ${name}: this kernel's bridges do not filter VLANs (CONFIG_BRIDGE_VLAN_FILTERING); remove vlan and vlanTrunk`,
    { cause },
  );

/** Writes only what differs, so that a value set beforehand will do where /proc/sys cannot be written. */
function setSysctl(name: string, value: string, netns: string | undefined): void {
  try {
    if (readSysctl(name, { net: netns }) !== value) writeSysctl(name, { value, net: netns });
  } catch (error) {
    // A kernel without IPv6, or without this setting, needs no such setting.
    if (!isTripodError(error, "not-found")) throw error;
  }
}
