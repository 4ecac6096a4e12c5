import type { GoProgram } from "./go-program.ts";

const criTools = "sigs.k8s.io/cri-tools";

const snapshotter = { module: "github.com/kubernetes-csi/external-snapshotter/v8", version: "v8.7.0" } as const;
const cniPlugins = { module: "github.com/containernetworking/plugins", version: "v1.10.0" } as const;

/** The programs of others that tests run against Tripod, each at a version that the Go module proxy serves. */
export const goPrograms = {
  kubelet: { module: "k8s.io/kubernetes", version: "v1.37.2", command: "cmd/kubelet" },
  crictl: { module: criTools, version: "v1.37.0", command: "cmd/crictl" },
  /** The oldest that is served. */
  oldCrictl: { module: criTools, version: "v1.34.0", command: "cmd/crictl" },
  csiSanity: { module: "github.com/kubernetes-csi/csi-test/v5", version: "v5.6.0", command: "cmd/csi-sanity" },
  cnitool: { module: "github.com/containernetworking/cni", version: "v1.3.1", command: "cnitool" },
  // The newest reference plugins; Debian's package has those of 2022.
  bridge: { ...cniPlugins, command: "plugins/main/bridge" },
  ptp: { ...cniPlugins, command: "plugins/main/ptp" },
  macvlan: { ...cniPlugins, command: "plugins/main/macvlan" },
  ipvlan: { ...cniPlugins, command: "plugins/main/ipvlan" },
  vlan: { ...cniPlugins, command: "plugins/main/vlan" },
  dummy: { ...cniPlugins, command: "plugins/main/dummy" },
  tap: { ...cniPlugins, command: "plugins/main/tap" },
  hostDevice: { ...cniPlugins, command: "plugins/main/host-device" },
  hostLocal: { ...cniPlugins, command: "plugins/ipam/host-local" },
  static: { ...cniPlugins, command: "plugins/ipam/static" },
  portmap: { ...cniPlugins, command: "plugins/meta/portmap" },
  bandwidth: { ...cniPlugins, command: "plugins/meta/bandwidth" },
  tuning: { ...cniPlugins, command: "plugins/meta/tuning" },
  firewall: { ...cniPlugins, command: "plugins/meta/firewall" },
  sbr: { ...cniPlugins, command: "plugins/meta/sbr" },
  vrf: { ...cniPlugins, command: "plugins/meta/vrf" },
} as const satisfies Record<string, GoProgram>;

/** Upstream's controllers for storage, each with libraries of its own to compile: only built when asked for (npm run check -- --only sidecars). */
export const sidecarPrograms = {
  csiAttacher: {
    module: "github.com/kubernetes-csi/external-attacher/v4",
    version: "v4.13.0",
    command: "cmd/csi-attacher",
  },
  csiProvisioner: {
    module: "github.com/kubernetes-csi/external-provisioner/v6",
    version: "v6.4.0",
    command: "cmd/csi-provisioner",
  },
  csiResizer: {
    module: "github.com/kubernetes-csi/external-resizer/v2",
    version: "v2.3.0",
    command: "cmd/csi-resizer",
  },
  csiSnapshotter: { ...snapshotter, command: "cmd/csi-snapshotter" },
  snapshotController: { ...snapshotter, command: "cmd/snapshot-controller" },
} as const satisfies Record<string, GoProgram>;
