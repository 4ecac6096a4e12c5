import { namespaceIdentity } from "../namespaces/namespace-identity.ts";
import { isErrno } from "../system-call-error.ts";
import { AttributeMap, decodeAttributes, encodeAttributes, text } from "./attribute.ts";
import { type NetlinkMessage, NLM_F } from "./message.ts";
import { type NetlinkRequest, NetlinkSocket } from "./socket.ts";

const NETLINK_NETFILTER = 12;
/** NFNL_SUBSYS_NFTABLES in the upper byte of a message's type (linux/netfilter/nf_tables.h). */
const NFT_MSG = { GETTABLE: 0xa01, GETCHAIN: 0xa04, GETRULE: 0xa07, GETSET: 0xa0a, GETSETELEM: 0xa0d } as const;
const NFTA_TABLE_NAME = 1;
const NFTA_CHAIN = { TABLE: 1, NAME: 3 } as const;
const NFTA_RULE = { TABLE: 1, CHAIN: 2, HANDLE: 3, USERDATA: 7 } as const;
const NFTA_SET = { TABLE: 1, NAME: 2 } as const;
const NFTA_SET_ELEM_LIST = { TABLE: 1, SET: 2, ELEMENTS: 3 } as const;
const NFTA_SET_ELEM = { KEY: 1, USERDATA: 6 } as const;
const NFTA_DATA_VALUE = 1;
/** libnftnl's type of a comment among the user data of a rule and of an element alike (libnftnl/udata.h). */
const NFTNL_UDATA_COMMENT = 0;
/** NFPROTO_* (linux/netfilter.h). */
const families = { inet: 1, ip: 2, bridge: 7, ip6: 10 } as const;

export interface NftTableName {
  readonly family: keyof typeof families;
  readonly name: string;
}

/** What names a rule, and what is written beside it. */
export interface NftRuleName {
  readonly chain: string;
  readonly handle: number;
  /** "" without one. */
  readonly comment: string;
}

/** An element of a set or a map. */
export interface NftElement {
  /** As the kernel has it: the parts of a concatenation one after the other, each filled up to a multiple of 4 bytes. */
  readonly key: Buffer;
  /** "" without one. */
  readonly comment: string;
}

const GENMSG_BYTES = 4; // struct nfgenmsg

/**
 * The tables, chains and rules of the caller's network namespace by name, asked of the kernel itself: for a rule that is only to be
 * found again, nft() takes ten times as long, because it makes text of all that it matches and does.
 */
export class NftReader implements Disposable {
  readonly #socket = new NetlinkSocket(NETLINK_NETFILTER);

  hasTable({ family, name }: NftTableName): boolean {
    return this.#has("NFT_MSG_GETTABLE", NFT_MSG.GETTABLE, family, [text(NFTA_TABLE_NAME, name)], name);
  }

  hasChain({ family, name }: NftTableName, chain: string): boolean {
    const attributes = [text(NFTA_CHAIN.TABLE, name), text(NFTA_CHAIN.NAME, chain)];
    return this.#has("NFT_MSG_GETCHAIN", NFT_MSG.GETCHAIN, family, attributes, `${name} ${chain}`);
  }

  /** In the order in which they stand in their chains; none of a table that is not there. */
  rules({ family, name }: NftTableName): readonly NftRuleName[] {
    const body = Buffer.concat([header(family), encodeAttributes([text(NFTA_RULE.TABLE, name)])]);
    const request = { name: "NFT_MSG_GETRULE", object: name, type: NFT_MSG.GETRULE, flags: NLM_F.DUMP, body };
    return this.#socket.request(request).flatMap((message) => {
      const rule = new AttributeMap(message.body.subarray(GENMSG_BYTES));
      // A kernel before 4.8 does not filter by table.
      if (message.body.readUInt8(0) !== families[family] || rule.text(NFTA_RULE.TABLE) !== name) return [];
      return {
        chain: rule.text(NFTA_RULE.CHAIN) ?? "",
        handle: Number(rule.bytes(NFTA_RULE.HANDLE)?.readBigUInt64BE(0) ?? 0n),
        comment: commentIn(rule.bytes(NFTA_RULE.USERDATA)),
      };
    });
  }

  /** The names of a table's sets and maps; none of a table that is not there. */
  sets({ family, name }: NftTableName): readonly string[] {
    const body = Buffer.concat([header(family), encodeAttributes([text(NFTA_SET.TABLE, name)])]);
    const request = { name: "NFT_MSG_GETSET", object: name, type: NFT_MSG.GETSET, flags: NLM_F.DUMP, body };
    return this.#dump(request).flatMap((message) => {
      const set = new AttributeMap(message.body.subarray(GENMSG_BYTES));
      return set.text(NFTA_SET.TABLE) === name ? (set.text(NFTA_SET.NAME) ?? []) : [];
    });
  }

  /** The elements of a set or a map, in no order; none of one that is not there. */
  elements({ family, name }: NftTableName, set: string): readonly NftElement[] {
    const attributes = [text(NFTA_SET_ELEM_LIST.TABLE, name), text(NFTA_SET_ELEM_LIST.SET, set)];
    const body = Buffer.concat([header(family), encodeAttributes(attributes)]);
    const object = `${name} ${set}`;
    const request = { name: "NFT_MSG_GETSETELEM", object, type: NFT_MSG.GETSETELEM, flags: NLM_F.DUMP, body };
    return this.#dump(request).flatMap((message) => {
      const list = new AttributeMap(message.body.subarray(GENMSG_BYTES)).bytes(NFTA_SET_ELEM_LIST.ELEMENTS);
      return decodeAttributes(list ?? Buffer.alloc(0)).map(({ value }) => {
        const element = new AttributeMap(value);
        const key = element.nested(NFTA_SET_ELEM.KEY)?.bytes(NFTA_DATA_VALUE) ?? Buffer.alloc(0);
        return { key, comment: commentIn(element.bytes(NFTA_SET_ELEM.USERDATA)) };
      });
    });
  }

  #dump(request: NetlinkRequest): readonly NetlinkMessage[] {
    try {
      return this.#socket.request(request);
    } catch (error) {
      if (isErrno(error, "ENOENT")) return [];
      throw error;
    }
  }

  #has(
    name: string,
    type: number,
    family: NftTableName["family"],
    attributes: Parameters<typeof encodeAttributes>[0],
    object: string,
  ): boolean {
    try {
      this.#socket.request({ name, object, type, body: Buffer.concat([header(family), encodeAttributes(attributes)]) });
      return true;
    } catch (error) {
      if (isErrno(error, "ENOENT")) return false;
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}

const currentNetns = (): string => namespaceIdentity("/proc/thread-self/ns/net");
const ownNetns = currentNetns();
let own: NftReader | undefined;

/**
 * Calls `work` with the reader of the caller's network namespace. That of the process's own is kept: to close such a socket is to wait,
 * for 10 ms and more, until the kernel has freed what transactions just before have deleted.
 */
export function readNft<T>(work: (reader: NftReader) => T): T {
  if (currentNetns() === ownNetns) return work((own ??= new NftReader()));
  using reader = new NftReader();
  return work(reader);
}

const header = (family: NftTableName["family"]): Buffer => Buffer.from([families[family], 0, 0, 0]);

/** User data are items of a byte for the type, one for the length, and a value. */
function commentIn(data: Buffer | undefined): string {
  for (let at = 0; data !== undefined && at + 2 <= data.length; at += 2 + data.readUInt8(at + 1)) {
    if (data.readUInt8(at) !== NFTNL_UDATA_COMMENT) continue;
    const value = data.subarray(at + 2, at + 2 + data.readUInt8(at + 1));
    const end = value.indexOf(0);
    return value.toString("utf8", 0, end < 0 ? value.length : end);
  }
  return "";
}
