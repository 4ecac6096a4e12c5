import type { Container, Pod } from "@tripod/api/kubernetes";
import { TripodError } from "@tripod/base";
import { hugePageName } from "@tripod/linux";
import { initContainers, regularContainers } from "../pods/pod-facts.ts";
import { bytesOf } from "../pods/quantities.ts";

const units = ["", "Ki", "Mi", "Gi", "Ti"];

/** Bytes as a quantity in the largest unit in which they are whole: "8Mi". */
export function binaryQuantity(bytes: number): string {
  let amount = bytes;
  let unit = 0;
  for (; amount > 0 && amount % 1024 === 0 && unit < units.length - 1; unit += 1) amount /= 1024;
  return `${amount}${units[unit]}`;
}

/** The name of the resource that huge pages of that size are: "hugepages-2Mi". */
export const hugePageResource = (pageBytes: number): string => `hugepages-${binaryQuantity(pageBytes)}`;

const sizeIn = (prefix: string, text: string): number | undefined =>
  text.startsWith(prefix) ? bytesOf(text.slice(prefix.length)) : undefined;

/** Limits on huge pages in CRI's terms: what the container may use, and nothing of the other sizes that the machine has. */
export function hugePageLimits({ resources }: Container, pageSizes: readonly number[]) {
  const limits = Object.entries(resources?.limits ?? {});
  return pageSizes.map((pageBytes) => {
    const own = limits.find(([name]) => sizeIn("hugepages-", name) === pageBytes)?.[1];
    return { pageSize: hugePageName(pageBytes), limit: BigInt(bytesOf(own) ?? 0) };
  });
}

/**
 * The page size in bytes of an emptyDir of the medium "HugePages" (whatever its Pod asks for, when that is one size) or "HugePages-2Mi";
 * undefined for another medium. A Pod that does not ask for such pages is an "invalid" error.
 */
export function pageSizeOfMedium(medium: string, pod: Pod): number | undefined {
  if (medium !== "HugePages" && !medium.startsWith("HugePages-")) return undefined;
  const asked = new Set(
    [...regularContainers(pod), ...initContainers(pod)].flatMap(({ resources: { limits = {}, requests = {} } = {} }) =>
      Object.keys({ ...limits, ...requests }).flatMap((name) => sizeIn("hugepages-", name) ?? []),
    ),
  );
  const wanted = sizeIn("HugePages-", medium);
  const sizes = wanted === undefined ? [...asked] : [...asked].filter((size) => size === wanted);
  const [size, another] = sizes;
  const what = `emptyDir medium ${medium}`;
  if (size === undefined)
    throw new TripodError("invalid", `${what}: no container of the Pod requests such huge pages; it must`);
  if (another !== undefined)
    throw new TripodError("invalid", `${what}: the Pod requests pages of several sizes; name one, as HugePages-2Mi`);
  return size;
}
