import { readCgroupNumber } from "./cgroup-file.ts";
import { checkCgroupPath } from "./cgroup-path.ts";
import { controllerFolder } from "./controller-folder.ts";
import { hugePageName, hugePagePools } from "../huge-pages.ts";
import { cgroupHierarchies } from "./hierarchies.ts";

export interface HugepageUsage {
  /** "2MB". */
  readonly pageSize: string;
  readonly usageBytes: number;
  /** The most that was ever used; 0 where the kernel does not keep it (version 2). */
  readonly peakBytes: number;
}

let sizes: readonly string[] | undefined;

/** The page sizes as cgroup files name them ("2MB"); read once. */
export function hugepageSizes(): readonly string[] {
  sizes ??= hugePagePools().map(({ pageBytes }) => hugePageName(pageBytes));
  return sizes;
}

/** The group's huge pages by size; [] without the controller. */
export function cgroupHugepages(path: string): HugepageUsage[] {
  checkCgroupPath(path);
  const hierarchies = cgroupHierarchies();
  const v2 = hierarchies.version === "v2";
  const folder = controllerFolder(hierarchies, { controller: "hugetlb", path });
  return hugepageSizes().flatMap((pageSize) => {
    const stem = `hugetlb.${pageSize}`;
    const usageBytes = readCgroupNumber(folder, v2 ? `${stem}.current` : `${stem}.usage_in_bytes`);
    if (usageBytes === undefined) return [];
    return [
      {
        pageSize,
        usageBytes,
        peakBytes: v2 ? 0 : (readCgroupNumber(folder, `${stem}.max_usage_in_bytes`) ?? 0),
      },
    ];
  });
}
