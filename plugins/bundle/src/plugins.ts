import type { CniPlugin } from "@tripod/cni/sdk";
import { bandwidth } from "@tripod/plugin-bandwidth";
import { bridge } from "@tripod/plugin-bridge";
import { dhcp } from "@tripod/plugin-dhcp";
import { dummy } from "@tripod/plugin-dummy";
import { firewall } from "@tripod/plugin-firewall";
import { flannel } from "@tripod/plugin-flannel";
import { hostDevice } from "@tripod/plugin-host-device";
import { hostLocal } from "@tripod/plugin-host-local";
import { ipvlan } from "@tripod/plugin-ipvlan";
import { loopback } from "@tripod/plugin-loopback";
import { macvlan } from "@tripod/plugin-macvlan";
import { portmap } from "@tripod/plugin-portmap";
import { ptp } from "@tripod/plugin-ptp";
import { sbr } from "@tripod/plugin-sbr";
import { staticIpam } from "@tripod/plugin-static";
import { tap } from "@tripod/plugin-tap";
import { tuning } from "@tripod/plugin-tuning";
import { vlan } from "@tripod/plugin-vlan";
import { vrf } from "@tripod/plugin-vrf";

/** Every plugin of Tripod's own, by type: what CniRuntime runs in process, and what installPlugins() installs. */
export const ownPlugins: ReadonlyMap<string, CniPlugin> = new Map(
  [
    loopback,
    bridge,
    ptp,
    macvlan,
    ipvlan,
    vlan,
    dummy,
    tap,
    hostDevice,
    hostLocal,
    staticIpam,
    dhcp,
    portmap,
    bandwidth,
    tuning,
    firewall,
    sbr,
    vrf,
    flannel,
  ].map((plugin) => [plugin.name, plugin]),
);
