import { isTripodError, runCommand, TripodError } from "@tripod/base";

/** What the file system is for lives as long as a container: no journal, no room for growth or for root alone. */
const features =
  "none,ext_attr,dir_index,filetype,extent,flex_bg,sparse_super,large_file,dir_nlink,extra_isize,64bit,uninit_bg";
/** There is to be a file for each so many bytes; its entry takes 3 % of the file system. */
export const bytesPerFile = 8192;
export const inodeBytes = 256;

/** Makes an empty ext4 for so many inodes in a file, as large as that is, with mkfs.ext4 of e2fsprogs. Writes little: 200 KiB for 10 GiB. */
export async function makeFileSystem(file: string, { inodes }: { readonly inodes: number }): Promise<void> {
  const extended = "lazy_itable_init=1,nodiscard,root_owner=0:0";
  const numbers = ["-b", "4096", "-N", String(inodes), "-I", String(inodeBytes), "-m", "0"];
  const args = ["-q", "-F", "-t", "ext4", ...numbers, "-O", features, "-E", extended, file];
  try {
    await runCommand("mkfs.ext4", args, { env: { ...process.env, LC_ALL: "C" } });
  } catch (cause) {
    const what = `make a file system in ${file}`;
    if (isTripodError(cause, "not-found")) {
      throw new TripodError("failed-precondition", `${what}: there is no mkfs.ext4; install e2fsprogs`, { cause });
    }
    if (isTripodError(cause, "internal") && cause.message.includes("No space left on device")) {
      throw new TripodError("exhausted", `${what}: no space left on device`, { cause });
    }
    throw cause;
  }
}
