import { isErrno, type LinkSpec, openRtnetlink, tunTapAdd } from "@tripod/linux";
import { FreshNetns } from "@tripod/linux/testing";

const specs: Readonly<Record<"macvlan" | "ipvlan" | "vlan" | "vrf" | "dummy", (parent: number) => LinkSpec>> = {
  macvlan: (parent) => ({ kind: "macvlan", name: "probe", parent }),
  ipvlan: (parent) => ({ kind: "ipvlan", name: "probe", parent }),
  vlan: (parent) => ({ kind: "vlan", name: "probe", parent, vlanId: 5 }),
  vrf: () => ({ kind: "vrf", name: "probe", table: 10 }),
  dummy: () => ({ kind: "dummy", name: "probe" }),
};

/** Why this kernel makes no interface of that kind, found by making one; false where it does. */
export function lacksLinkKind(kind: keyof typeof specs | "tap"): string | false {
  using netns = new FreshNetns();
  using there = openRtnetlink({ netns: netns.path });
  try {
    if (kind === "tap") {
      tunTapAdd({ kind: "tap", name: "probe", netns: netns.path });
      return false;
    }
    there.linkAdd({ kind: "veth", name: "lower", peer: { name: "other" } });
    there.linkAdd(specs[kind](there.linkByName("lower").index));
    return false;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException; // of opening /dev/net/tun
    if (!isErrno(error, "EOPNOTSUPP") && !isErrno(error, "ENODEV") && code !== "ENOENT" && code !== "ENODEV")
      throw error;
    return `this kernel has no ${kind} interfaces`;
  }
}
