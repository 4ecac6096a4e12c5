import { MS } from "./mount-flags.ts";

/** mount(8)'s words that are flags of mount(2): set, or with the word for the opposite cleared. */
const words: ReadonlyMap<string, readonly [flag: number, set: boolean]> = new Map([
  ["ro", [MS.RDONLY, true]],
  ["rw", [MS.RDONLY, false]],
  ["nosuid", [MS.NOSUID, true]],
  ["suid", [MS.NOSUID, false]],
  ["nodev", [MS.NODEV, true]],
  ["dev", [MS.NODEV, false]],
  ["noexec", [MS.NOEXEC, true]],
  ["exec", [MS.NOEXEC, false]],
  ["sync", [MS.SYNCHRONOUS, true]],
  ["async", [MS.SYNCHRONOUS, false]],
  ["dirsync", [MS.DIRSYNC, true]],
  ["noatime", [MS.NOATIME, true]],
  ["atime", [MS.NOATIME, false]],
  ["nodiratime", [MS.NODIRATIME, true]],
  ["diratime", [MS.NODIRATIME, false]],
  ["relatime", [MS.RELATIME, true]],
  ["norelatime", [MS.RELATIME, false]],
  ["strictatime", [MS.STRICTATIME, true]],
  ["nostrictatime", [MS.STRICTATIME, false]],
  ["lazytime", [MS.LAZYTIME, true]],
  ["nolazytime", [MS.LAZYTIME, false]],
  ["nosymfollow", [MS.NOSYMFOLLOW, true]],
  ["defaults", [0, true]],
]);

/** Options as mount(8) takes them, "noatime,data=ordered" each: the flags of mount(2), and the rest for the file system. Later ones win. */
export function parseMountOptions(options: readonly string[]): { readonly flags: number; readonly data: string } {
  let flags = 0;
  const data: string[] = [];
  for (const option of options.flatMap((each) => each.split(","))) {
    const word = words.get(option);
    if (word === undefined) {
      if (option !== "") data.push(option);
    } else flags = word[1] ? flags | word[0] : flags & ~word[0];
  }
  return { flags, data: data.join(",") };
}
