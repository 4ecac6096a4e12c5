import { isErrno } from "../system-call-error.ts";
import { text } from "./attribute.ts";
import { decodeLink } from "./link.ts";
import { checkLinkName, encodeLinkMessage } from "./link-message.ts";
import { type LinkReference, NETLINK_ROUTE } from "./rtnetlink.ts";
import { IFLA, RTM } from "./rtnetlink-numbers.ts";
import { NetlinkSocket } from "./socket.ts";

/** The group of messages about links (linux/rtnetlink.h). */
const RTMGRP_LINK = 1;

/**
 * As Rtnetlink.linkDelete(), without keeping this thread, and without waiting for what nobody can see: the kernel tells within 1 to
 * 3 ms that an interface has left its namespace and its name, addresses and routes are free, and then takes 10 to 50 ms more to let go
 * of its memory, because it waits for all its processors (RCU).
 */
export async function linkDeleteOffThread(
  link: LinkReference,
  options: { readonly netns?: string | undefined } = {},
): Promise<boolean> {
  using events = new NetlinkSocket(NETLINK_ROUTE, { ...options, groups: RTMGRP_LINK });
  const index = await indexOf(link, options);
  if (index === undefined) return false;
  const gone = Promise.withResolvers<true>();
  using _listening = events.listen(({ type, body }) => {
    // A bridge tells of its lost port by a message of the same type, but of its own family.
    if (type === RTM.DELLINK && body.readUInt8(0) === 0 && body.readInt32LE(4) === index) gone.resolve(true);
  });
  return await Promise.race([gone.promise, requestDelete(index, options)]);
}

/** Its index, asked for from another thread too: the kernel answers only once it is done with what others delete. */
async function indexOf(
  link: LinkReference,
  options: { readonly netns?: string | undefined },
): Promise<number | undefined> {
  if (typeof link === "number") return link;
  using socket = new NetlinkSocket(NETLINK_ROUTE, options);
  const body = encodeLinkMessage({ attributes: [text(IFLA.IFNAME, checkLinkName(link))] });
  try {
    const request = { name: "RTM_GETLINK", object: link, type: RTM.GETLINK, body };
    const [reply] = await socket.requestOffThread(request);
    return reply === undefined ? undefined : decodeLink(reply.body).index;
  } catch (error) {
    if (isErrno(error, "ENODEV")) return undefined;
    throw error;
  }
}

/** Resolves when the kernel is done. It was asked for the index, which no later link gets: nothing but this link can go. */
async function requestDelete(index: number, options: { readonly netns?: string | undefined }): Promise<boolean> {
  using socket = new NetlinkSocket(NETLINK_ROUTE, options);
  try {
    const body = encodeLinkMessage({ index });
    await socket.requestOffThread({ name: "RTM_DELLINK", object: `link ${index}`, type: RTM.DELLINK, body });
    return true;
  } catch (error) {
    if (isErrno(error, "ENODEV")) return false;
    throw error;
  }
}
