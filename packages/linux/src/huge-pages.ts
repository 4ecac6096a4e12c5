import { readdirSync, readFileSync } from "node:fs";
import type { Path } from "./libc.ts";
import { MS } from "./mounts/mount-flags.ts";
import { mount } from "./mounts/mount.ts";

const folder = "/sys/kernel/mm/hugepages";

/** The machine's huge pages of one size, of all its memory nodes. */
export interface HugePagePool {
  readonly pageBytes: number;
  /** How many are set aside, used or not; more that the kernel may find when asked (overcommit) are not counted. */
  readonly pages: number;
}

/** The sizes of huge pages that the kernel knows, the smallest first; none where it has no huge pages. Kernel doc: hugetlbpage.rst. */
export function hugePagePools(): HugePagePool[] {
  return namesIn(folder)
    .flatMap((name) => {
      const kib = Number(/^hugepages-(\d+)kB$/.exec(name)?.[1]);
      if (!(kib > 0)) return [];
      return [{ pageBytes: kib * 1024, pages: Number(readFileSync(`${folder}/${name}/nr_hugepages`, "utf8")) }];
    })
    .toSorted((a, b) => a.pageBytes - b.pageBytes);
}

/** A page size as cgroup files and CRI write it: "2MB", "1GB". */
export function hugePageName(pageBytes: number): string {
  const kib = pageBytes / 1024;
  return kib >= 1024 ** 2 ? `${kib / 1024 ** 2}GB` : kib >= 1024 ? `${kib / 1024}MB` : `${kib}KB`;
}

/** Mounts an empty file system whose files are huge pages of that size (nosuid, nodev). */
export function mountHugePages(target: Path, { pageBytes }: { readonly pageBytes: number }): void {
  mount({ source: "nodev", target, type: "hugetlbfs", flags: MS.NOSUID | MS.NODEV, data: `pagesize=${pageBytes}` });
}

function namesIn(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return []; // a kernel without huge pages
  }
}
