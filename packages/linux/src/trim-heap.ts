import koffi from "koffi";

/** Hands the free blocks of the C library's heap back to the kernel (malloc_trim(3)); nothing where the library has no such call. */
export function trimHeap(): void {
  const library = koffi.load(null);
  let trim: (keepBytes: number) => number;
  try {
    // koffi's functions are untyped.
    trim = library.func("malloc_trim", "int", ["size_t"]) as unknown as typeof trim;
  } catch {
    return; // musl
  }
  trim(0);
}
