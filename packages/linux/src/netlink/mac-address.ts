import { TripodError } from "@tripod/base";

/** Parses "02:00:0a:01:02:03"; anything else is "invalid". */
export function parseMac(mac: string): Buffer {
  if (!/^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$/.test(mac)) {
    throw new TripodError("invalid", `${JSON.stringify(mac)} is not a MAC address`);
  }
  return Buffer.from(mac.replaceAll(":", ""), "hex");
}

/** Lower-case and with colons; of other link layers' addresses too, whatever their length. */
export const formatMac = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(":");
