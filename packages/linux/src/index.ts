export { type Path } from "./libc.ts";
export { errnoName, isErrno, SystemCallError } from "./system-call-error.ts";
export { createNamespaces, type CreateNamespacesOptions } from "./namespaces/create-namespaces.ts";
export {
  createUserNamespace,
  type CreateUserNamespaceOptions,
  type IdMapping,
} from "./namespaces/create-user-namespace.ts";
export { inNamespaces, inNetns, type NamespacePaths } from "./namespaces/in-namespaces.ts";
export {
  namespaceExists,
  namespaceExists as netnsExists,
  namespaceIdentity,
  namespaceIdentity as netnsIdentity,
} from "./namespaces/namespace-identity.ts";
export { type NamespaceKind } from "./namespaces/namespace-kind.ts";
export { removeNamespace } from "./namespaces/remove-namespace.ts";
export { type Address, type AddressFilter, type AddressSpec } from "./netlink/addresses.ts";
export { type BridgePort, type BridgePortSettings } from "./netlink/bridge-port.ts";
export { type BridgeVlan, type BridgeVlanChange } from "./netlink/bridge-vlan.ts";
export { conntrackDelete, type ConntrackFilter } from "./netlink/conntrack.ts";
export {
  type Family,
  formatAddress,
  parseAddress,
  type ParsedAddress,
  type ParsedPrefix,
  parsePrefix,
} from "./netlink/ip-address.ts";
export { type Link, type LinkStatistics, type OperState } from "./netlink/link.ts";
export {
  type BridgeSpec,
  type IpvlanSpec,
  type LinkSpec,
  type MacvlanSpec,
  type PlainLinkSpec,
  type VethPeer,
  type VethSpec,
  type VlanSpec,
  type VxlanSpec,
} from "./netlink/link-add.ts";
export { checkLinkName } from "./netlink/link-message.ts";
export { type LinkChanges } from "./netlink/link-set.ts";
export { formatMac, parseMac } from "./netlink/mac-address.ts";
export {
  type Neighbour,
  type NeighbourFilter,
  type NeighbourSpec,
  type NeighbourState,
} from "./netlink/neighbours.ts";
export { type Qdisc, type TokenBucket, tokenBucket } from "./netlink/qdiscs.ts";
export {
  type NextHop,
  type Route,
  type RouteFilter,
  type RouteSpec,
  routeSpecOf,
  type RouteType,
} from "./netlink/routes.ts";
export {
  bringUpLoopback,
  type LinkReference,
  openRtnetlink,
  Rtnetlink,
} from "./netlink/rtnetlink.ts";
export { linkDeleteOffThread } from "./netlink/link-delete.ts";
export { type Rule, type RuleSpec } from "./netlink/rules.ts";
export { type RouteScope, scopeName } from "./netlink/scope.ts";
export { leadIngress, limitEgress, removeQdisc, type TrafficControlTarget } from "./netlink/traffic-control.ts";
export { tunTapAdd, tunTapOpen, type TunTapSpec } from "./netlink/tuntap.ts";
export { nft, type NftOptions } from "./nftables.ts";
export { NftReader, type NftRuleName, type NftTableName, readNft } from "./netlink/nft-reader.ts";
export { bindMount, type BindMountOptions } from "./mounts/bind-mount.ts";
export { canIdMap, cloneMount, type CloneMountOptions } from "./mounts/clone-mount.ts";
export {
  makePrivate,
  makeShared,
  makeSlave,
  mount,
  type MountOptions,
  mountTmpfs,
  setPropagation,
  type TmpfsOptions,
} from "./mounts/mount.ts";
export { MOUNT_ATTR, type MountAttributes, setMountAttributes } from "./mounts/mount-attributes.ts";
export { MS, type Propagation } from "./mounts/mount-flags.ts";
export { isMountPoint, mountId } from "./mounts/mount-identity.ts";
export { type MountInfo, mountInfo, parseMountInfo } from "./mounts/mount-info.ts";
export { O_PATH, openInRoot, type OpenInRootOptions } from "./mounts/open-in-root.ts";
export { parseMountOptions } from "./mounts/mount-options.ts";
export { realMountPoint } from "./mounts/real-mount-point.ts";
export { unmount, type UnmountOptions } from "./mounts/unmount.ts";
export { type FuseAttributes, type FuseEntry, type FuseFileSystem, FuseError } from "./fuse/fuse-file-system.ts";
export { type FuseMount, type FuseMountOptions, fuseProblem, mountFuse } from "./fuse/mount-fuse.ts";
export {
  type AttributeChanges,
  type FuseCaller,
  type LiveAttributes,
  type LiveEntry,
  type LiveFileSystem,
  type LiveName,
  type LiveTotals,
  type NewFile,
} from "./fuse/live-file-system.ts";
export { type LiveFuseMountOptions, mountLiveFuse } from "./fuse/mount-live-fuse.ts";
export { unmountAbandoned } from "./mounts/unmount-abandoned.ts";
export {
  type ExitStatus,
  reap,
  setSubreaper,
} from "./processes/subreaper.ts";
export {
  capabilities,
  type CapabilityName,
  capabilityNames,
  type CapabilitySet,
  hasCapability,
  isRoot,
} from "./processes/capabilities.ts";
export { pidfdOpen, pidfdSendSignal } from "./processes/pidfd.ts";
export { processIsRunning, processStartTime } from "./processes/process-start-time.ts";
export { dieWithParent } from "./processes/die-with-parent.ts";
export { exitAtOnce } from "./processes/exit-at-once.ts";
export { openPipe, spawnProcess, type SpawnOptions } from "./processes/spawn-process.ts";
export { waitForExit, type WaitForExitOptions } from "./processes/wait-for-exit.ts";
export { cgroupChildren } from "./cgroups/cgroup-children.ts";
export { type HugePagePool, hugePageName, hugePagePools, mountHugePages } from "./huge-pages.ts";
export { cgroupHugepages, type HugepageUsage } from "./cgroups/cgroup-hugepages.ts";
export { cgroupIo, cgroupIoPressure, type DeviceIo } from "./cgroups/cgroup-io.ts";
export { cgroupExists, cgroupProcesses, countedProcesses } from "./cgroups/cgroup-processes.ts";
export { type CgroupCpu, type CgroupMemory, type CgroupStats, cgroupStats } from "./cgroups/cgroup-stats.ts";
export { createCgroup } from "./cgroups/create-cgroup.ts";
export { type CgroupHierarchies, cgroupHierarchies, type CgroupVersion, cgroupVersion } from "./cgroups/hierarchies.ts";
export { killCgroup, type KillCgroupOptions, thawCgroup } from "./cgroups/kill-cgroup.ts";
export { type CgroupLimits, limitCgroup } from "./cgroups/limit-cgroup.ts";
export { quickCgroupMoves } from "./cgroups/quick-cgroup-moves.ts";
export type { Pressure, PressureLine } from "./cgroups/pressure.ts";
export { slicePath, stopSlice, systemdIsInit } from "./cgroups/systemd-slice.ts";
export { removeCgroup, type RemoveCgroupOptions } from "./cgroups/remove-cgroup.ts";
export { lgetxattr, llistxattr, lremovexattr, lsetxattr } from "./files/extended-attributes.ts";
export { copyContent } from "./files/copy-content.ts";
export { lockDescriptor, tryLockDescriptor } from "./files/descriptor-lock.ts";
export { FileLock } from "./files/file-lock.ts";
export { allocate, cloneFile, type FileRange, nextData, nextHole, punchHole } from "./files/file-space.ts";
export { freezeFileSystem, thawFileSystem } from "./files/freeze.ts";
export { growFileSystem } from "./files/grow-file-system.ts";
export {
  createSubvolume,
  deleteSubvolume,
  isBtrfs,
  isSubvolume,
  limitSubvolume,
  snapshotSubvolume,
} from "./files/btrfs-subvolume.ts";
export {
  hasProjectQuotas,
  limitProject,
  type Project,
  projectOf,
  type ProjectUse,
  projectUse,
  setProject,
  unusedProject,
} from "./files/project-quota.ts";
export { mknod, type NodeSpec } from "./files/make-node.ts";
export { syncFileSystem } from "./files/sync-file-system.ts";
export { lutimesNs, type Timestamps } from "./files/timestamps.ts";
export {
  attachLoop,
  type AttachLoopOptions,
  detachLoop,
  type LoopDevice,
  loopDevices,
  refreshLoopSize,
  withLoop,
} from "./loop-devices.ts";
export { type LoopOfFile, loopsOf, setLoopDirectIo } from "./loop-users.ts";
export { readSysctl, sysctlFile, writeSysctl, writeSysctlAsRootOf } from "./sysctl.ts";
export { streamOfFd } from "./fd-stream.ts";
export { connectInNetns } from "./netns-socket.ts";
export { type BpfInstruction, PacketSocket, type PacketSocketOptions } from "./packet-socket.ts";
export { connectSeqpacket } from "./seqpacket.ts";
export { openTerminal, setTerminalSize, type TerminalPair } from "./tty.ts";
export { trimHeap } from "./trim-heap.ts";
export { isolateNetwork } from "./namespaces/isolate-network.ts";
