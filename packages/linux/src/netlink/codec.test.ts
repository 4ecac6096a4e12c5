import assert from "node:assert/strict";
import { test } from "node:test";
import { isTripodError } from "@tripod/base";
import { AttributeMap, be16, decodeAttributes, encodeAttributes, nested, text, u16, u32, u8 } from "./attribute.ts";
import { formatAddress, parseAddress, parsePrefix } from "./ip-address.ts";
import { decodeLink } from "./link.ts";
import { checkLinkName } from "./link-message.ts";
import { formatMac, parseMac } from "./mac-address.ts";
import { decodeMessages, decodeStatus, encodeMessage } from "./message.ts";

const refuses = (code: "corrupt" | "invalid", work: () => unknown, why: string): void => {
  assert.throws(work, (error) => isTripodError(error, code), why);
};

test("attributes are padded to four bytes and read back", () => {
  const encoded = encodeAttributes([
    u8(1, 7),
    text(2, "eth0"),
    nested(3, [u16(4, 0x1234), be16(5, 8472)]),
    u32(6, 2 ** 32 - 1),
  ]);
  assert.equal(
    encoded.toString("hex"),
    "0500010007000000" +
      "0900020065746830000000" +
      "00" +
      "14000380" +
      "0600040034120000" +
      "0600050021180000" +
      "08000600ffffffff",
  );
  const map = new AttributeMap(encoded);
  assert.equal(map.u8(1), 7);
  assert.equal(map.text(2), "eth0");
  assert.equal(map.nested(3)?.be16(5), 8472);
  assert.equal(map.u32(6), 2 ** 32 - 1);
  assert.equal(map.u32(7), undefined);
});

test("attributes that do not fit are refused", () => {
  for (const [hex, why] of [
    ["0300010000000000", "shorter than its own header"],
    ["0900010000000000", "longer than the buffer"],
    ["00000000", "length zero would never end"],
    ["08000100000000000c000200", "the second one is cut off"],
  ] as const) {
    refuses("corrupt", () => decodeAttributes(Buffer.from(hex, "hex")), why);
  }
  refuses("corrupt", () => new AttributeMap(Buffer.from("0600010001000000", "hex")).u32(1), "two bytes are no u32");
  refuses("invalid", () => encodeAttributes([{ type: 1, value: Buffer.alloc(70_000) }]), "length has 16 bits");
});

test("messages that do not fit are refused", () => {
  const message = encodeMessage({ type: 16, flags: 2, sequence: 7, body: Buffer.alloc(16) });
  assert.equal(decodeMessages(Buffer.concat([message, message])).length, 2);
  for (const [datagram, why] of [
    [message.subarray(0, 20), "cut off in the body"],
    [message.subarray(0, 10), "cut off in the header"],
    [Buffer.alloc(16), "length zero would never end"],
    [Buffer.concat([message, Buffer.alloc(3)]), "bytes after the last one"],
  ] as const) {
    refuses("corrupt", () => decodeMessages(datagram), why);
  }
  refuses("corrupt", () => decodeLink(Buffer.alloc(8)), "shorter than ifinfomsg");
});

test("the kernel's explanation is read from an error with extended acknowledgement", () => {
  // What recv(2) returned to linkAdd({ kind: "bridge", name: "br1", mtu: 5 }) on Linux 6.18.
  const reply = Buffer.from(
    "4800000002000003010000001a4e0000eaffffff40000000100005060100000000000000" +
      "210001006d7475206c657373207468616e20646576696365206d696e696d756d00000000",
    "hex",
  );
  const [message] = decodeMessages(reply);
  assert(message !== undefined);
  assert.deepEqual(decodeStatus(message), { errno: 22, text: "mtu less than device minimum" });
});

test("addresses are read and written in their canonical form", () => {
  for (const [given, canonical] of [
    ["10.1.2.3", "10.1.2.3"],
    ["::", "::"],
    ["::1", "::1"],
    ["1::", "1::"],
    ["fe80:0:0:0:0:0:0:1", "fe80::1"],
    ["2001:DB8::0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["::ffff:1.2.3.4", "::ffff:1.2.3.4"],
    ["64:ff9b::192.0.2.33", "64:ff9b::c000:221"],
    ["1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"],
    ["::", "::"],
    ["1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"],
    ["a:0:0:b:0:0:0:c", "a:0:0:b::c"],
  ] as const) {
    assert.equal(formatAddress(parseAddress(given).bytes), canonical, given);
  }
  for (const [wrong, why] of [
    ["", "empty"],
    ["10.1.2", "three numbers"],
    ["10.1.2.300", "over 255"],
    ["010.1.2.3", "ambiguous zero"],
    ["fe80::1%eth0", "a zone is no part of an address"],
    ["1::2::3", "two gaps"],
    ["1:2:3:4:5:6:7", "seven groups"],
    ["1:2:3:4:5:6:7:8::", "a gap with nothing to stand for"],
    ["1:2:3:4:5:6:7:8:9", "nine groups"],
    ["::12345", "over four digits"],
    ["::1.2.3.4:1", "IPv4 in the midst"],
    ["1.2.3.4::", "IPv4 in front"],
    ["::1.2.3.256", "IPv4 over 255"],
    [":1:2:3:4:5:6:7", "an empty group"],
    ["::g", "no digit"],
    ["1:2:3:4:5:6:7:-1", "a sign"],
  ] as const) {
    refuses("invalid", () => parseAddress(wrong), why);
  }
});

test("prefixes have a length that fits the family", () => {
  assert.equal(parsePrefix("10.0.0.0/8").prefixLength, 8);
  assert.equal(parsePrefix("10.0.0.1").prefixLength, 32);
  assert.equal(parsePrefix("fe80::/64").prefixLength, 64);
  assert.equal(parsePrefix("fe80::1").prefixLength, 128);
  for (const wrong of ["10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8/8", "fe80::/129", "10.0.0.0/1e1"]) {
    refuses("invalid", () => parsePrefix(wrong), wrong);
  }
});

test("MAC addresses and interface names are checked", () => {
  assert.equal(formatMac(parseMac("02:AB:00:00:00:01")), "02:ab:00:00:00:01");
  for (const wrong of ["", "02:00:00:00:00", "02-00-00-00-00-01", "02:00:00:00:00:0g"]) {
    refuses("invalid", () => parseMac(wrong), wrong);
  }
  for (const name of ["eth0", "veth1234abcd", "a.b-c_d", "x".repeat(15)]) assert.equal(checkLinkName(name), name);
  for (const wrong of ["", "a/b", "a b", "a:b", "..", ".", "x".repeat(16), "é".repeat(8), "a\0b"]) {
    refuses("invalid", () => checkLinkName(wrong), wrong);
  }
});
