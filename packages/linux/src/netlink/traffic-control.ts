import { isErrno } from "../system-call-error.ts";
import { addIngress, deleteQdisc, redirectIngress, setTokenBucket, type TokenBucket } from "./qdiscs.ts";
import { NETLINK_ROUTE } from "./rtnetlink.ts";
import { type NetlinkRequest, NetlinkSocket } from "./socket.ts";

/** Which interface, and the path of its namespace: the caller's unless told. */
export interface TrafficControlTarget {
  readonly index: number;
  readonly netns?: string | undefined;
}

/** From another thread: the kernel changes qdiscs of an interface that is up only after all its processors have let go of the old one. */
async function apply({ netns }: TrafficControlTarget, requests: readonly NetlinkRequest[]): Promise<void> {
  using socket = new NetlinkSocket(NETLINK_ROUTE, { netns });
  for (const request of requests) await socket.requestOffThread(request);
}

/** Holds what leaves by the interface at the bucket's rate. In place of a bucket that is there. */
export const limitEgress = (target: TrafficControlTarget, bucket: TokenBucket): Promise<void> =>
  apply(target, [setTokenBucket(target.index, bucket)]);

/** Leads everything that comes in by the interface out by the one with index `to`, an ifb, which gives it back. Replaces earlier filters. */
export async function leadIngress(target: TrafficControlTarget, to: number): Promise<void> {
  await removeQdisc(target, "ingress");
  await apply(target, [addIngress(target.index), redirectIngress(target.index, to)]);
}

/** Takes away the qdisc at the root, or what was done by leadIngress(); false when there was none. */
export async function removeQdisc(target: TrafficControlTarget, which: "root" | "ingress"): Promise<boolean> {
  try {
    await apply(target, [deleteQdisc(target.index, which)]);
    return true;
  } catch (error) {
    if (["ENOENT", "EINVAL", "ENODEV"].some((name) => isErrno(error, name))) return false;
    throw error;
  }
}
