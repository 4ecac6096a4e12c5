/** Numbers of include/uapi/linux/{rtnetlink,if_link,if_bridge,if_addr,neighbour,fib_rules,pkt_sched,pkt_cls}.h. */

export const RTM = {
  NEWLINK: 16,
  DELLINK: 17,
  GETLINK: 18,
  SETLINK: 19,
  NEWADDR: 20,
  DELADDR: 21,
  GETADDR: 22,
  NEWROUTE: 24,
  DELROUTE: 25,
  GETROUTE: 26,
  NEWNEIGH: 28,
  DELNEIGH: 29,
  GETNEIGH: 30,
  NEWRULE: 32,
  DELRULE: 33,
  GETRULE: 34,
  NEWQDISC: 36,
  DELQDISC: 37,
  GETQDISC: 38,
  NEWTFILTER: 44,
} as const;

export const IFLA = {
  ADDRESS: 1,
  IFNAME: 3,
  MTU: 4,
  LINK: 5,
  MASTER: 10,
  PROTINFO: 12,
  TXQLEN: 13,
  OPERSTATE: 16,
  LINKINFO: 18,
  IFALIAS: 20,
  STATS64: 23,
  AF_SPEC: 26,
  GROUP: 27,
  NET_NS_FD: 28,
  EXT_MASK: 29,
  PROMISCUITY: 30,
  LINK_NETNSID: 37,
} as const;

export const IFLA_INFO = { KIND: 1, DATA: 2, SLAVE_KIND: 4, SLAVE_DATA: 5 } as const;
export const VETH_INFO_PEER = 1;

export const IFF = {
  UP: 0x1,
  LOOPBACK: 0x8,
  RUNNING: 0x40,
  NOARP: 0x80,
  PROMISC: 0x100,
  ALLMULTI: 0x200,
  LOWER_UP: 0x10000,
} as const;

export const IFLA_BR = {
  FORWARD_DELAY: 1,
  AGEING_TIME: 4,
  STP_STATE: 5,
  VLAN_FILTERING: 7,
  GROUP_FWD_MASK: 9,
  MCAST_SNOOPING: 23,
  NF_CALL_IPTABLES: 36,
  NF_CALL_IP6TABLES: 37,
  VLAN_DEFAULT_PVID: 39,
} as const;

export const IFLA_BRPORT = {
  STATE: 1,
  COST: 3,
  MODE: 4,
  GUARD: 5,
  LEARNING: 8,
  UNICAST_FLOOD: 9,
  PROXYARP: 10,
  MCAST_FLOOD: 27,
  BCAST_FLOOD: 30,
  NEIGH_SUPPRESS: 32,
  ISOLATED: 33,
} as const;

export const IFLA_BRIDGE = { FLAGS: 0, VLAN_INFO: 2 } as const;
export const BRIDGE_FLAGS = { MASTER: 1, SELF: 2 } as const;
export const BRIDGE_VLAN_INFO = { PVID: 2, UNTAGGED: 4, RANGE_BEGIN: 8, RANGE_END: 16 } as const;
export const RTEXT_FILTER = { BRVLAN: 2, SKIP_STATS: 8 } as const;

export const IFLA_VXLAN = {
  ID: 1,
  GROUP: 2,
  LINK: 3,
  LOCAL: 4,
  TTL: 5,
  LEARNING: 7,
  PORT: 15,
  GROUP6: 16,
  LOCAL6: 17,
} as const;

export const IFLA_VLAN = { ID: 1, PROTOCOL: 5 } as const;
export const IFLA_MACVLAN = { MODE: 1, BC_QUEUE_LEN: 7 } as const;
export const IFLA_IPVLAN_MODE = 1;
export const IFLA_VRF_TABLE = 1;
export const IFLA_TUN = { OWNER: 1, GROUP: 2, PERSIST: 6, MULTI_QUEUE: 7 } as const;

export const IFA = { ADDRESS: 1, LOCAL: 2, LABEL: 3, BROADCAST: 4, CACHEINFO: 6, FLAGS: 8 } as const;
export const IFA_F = {
  SECONDARY: 0x01,
  NODAD: 0x02,
  DADFAILED: 0x08,
  DEPRECATED: 0x20,
  TENTATIVE: 0x40,
  PERMANENT: 0x80,
  NOPREFIXROUTE: 0x200,
} as const;

export const RTA = {
  DST: 1,
  OIF: 4,
  GATEWAY: 5,
  PRIORITY: 6,
  PREFSRC: 7,
  METRICS: 8,
  MULTIPATH: 9,
  TABLE: 15,
  VIA: 18,
} as const;
export const RTAX = { MTU: 2, ADVMSS: 8 } as const;
export const RTNH_F_ONLINK = 4;

export const NDA = { DST: 1, LLADDR: 2, VLAN: 5, PORT: 6, VNI: 7, IFINDEX: 8, MASTER: 9 } as const;
export const NTF = { SELF: 0x02, MASTER: 0x04, PROXY: 0x08 } as const;

export const FRA = {
  DST: 1,
  SRC: 2,
  IIFNAME: 3,
  PRIORITY: 6,
  FWMARK: 10,
  SUPPRESS_PREFIXLEN: 14,
  TABLE: 15,
  FWMASK: 16,
  OIFNAME: 17,
} as const;
export const FIB_RULE_INVERT = 2;

/** Parents of what stands at an interface itself. */
export const TC_H = { ROOT: 0xffffffff, INGRESS: 0xfffffff1 } as const;
/** Of qdiscs, filters and actions alike. */
export const TCA = { KIND: 1, OPTIONS: 2 } as const;
export const TCA_TBF = { PARMS: 1, RATE64: 4 } as const;
export const TCA_U32 = { CLASSID: 1, SEL: 5, ACT: 7 } as const;
export const TCA_MIRRED_PARMS = 2;
