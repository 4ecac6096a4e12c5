import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { type Layout, TripodError, writeFileAtomicSync } from "@tripod/base";
import { defaultConflist } from "@tripod/cni";

/** The file that we write when the configuration folder is empty; any file that sorts before it takes its place. */
export const conflistName = "99-tripod.conflist";

const toNumber = (address: string): number => address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);

/** Whether two IPv4 subnets (a.b.c.d/n) share an address. */
export function subnetsOverlap(a: string, b: string): boolean {
  const parse = (cidr: string): { address: number; bits: number } => {
    const [address = "", bits = "32"] = cidr.split("/");
    return { address: toNumber(address), bits: Number(bits) };
  };
  const [left, right] = [parse(a), parse(b)];
  const size = 2 ** (32 - Math.min(left.bits, right.bits));
  return Math.floor(left.address / size) === Math.floor(right.address / size);
}

/** A /24 of 10.244.0.0/16 that none of `taken` overlaps. Where to begin follows from `seed`, so that instances differ. */
export function chooseSubnet(seed: string, taken: readonly string[]): string {
  const start = seed === "" ? 0 : createHash("sha256").update(seed).digest().readUInt8(0);
  for (let step = 0; step < 256; step += 1) {
    const subnet = `10.244.${(start + step) % 256}.0/24`;
    if (!taken.some((other) => subnetsOverlap(subnet, other))) return subnet;
  }
  throw new TripodError(
    "exhausted",
    "choose a Pod subnet: every /24 of 10.244.0.0/16 is in use here; set network.podCidr in config.yaml",
  );
}

/** The subnets of this machine's own IPv4 addresses, but for those on `ignoredLink`. */
function subnetsInUse(ignoredLink: string): string[] {
  return Object.entries(networkInterfaces()).flatMap(([link, addresses]) =>
    link === ignoredLink
      ? []
      : (addresses ?? []).flatMap((each) => (each.family === "IPv4" && each.cidr !== null ? [each.cidr] : [])),
  );
}

/**
 * The Pods' subnet: the one configured, else the one of last time, else a free one; kept in lib/. Where the CNI folder holds no
 * configuration, the default one (bridge, host-local, portmap, bandwidth) is written into it.
 */
export function preparePodNetwork(layout: Layout, configured: string | undefined): string {
  const kept = join(layout.libDir, "pod-cidr");
  const subnet =
    configured ??
    (existsSync(kept) ? readFileSync(kept, "utf8") : chooseSubnet(layout.instance, subnetsInUse(layout.bridge)));
  mkdirSync(layout.libDir, { recursive: true });
  writeFileAtomicSync(kept, subnet);
  mkdirSync(layout.cniConfDir, { recursive: true });
  const present = readdirSync(layout.cniConfDir).filter(
    (name) => /\.(conf|conflist|json)$/.test(name) && name !== conflistName,
  );
  if (present.length === 0) {
    const conflist = defaultConflist({ bridge: layout.bridge, subnet, dataDir: layout.cniDataDir, bandwidth: true });
    writeFileAtomicSync(join(layout.cniConfDir, conflistName), `${JSON.stringify(conflist, null, 2)}\n`);
  }
  return subnet;
}
