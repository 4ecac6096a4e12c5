/** A key of an adjustment: with "-" before it, what has the key is to be removed. */
export const keyOf = (marked: string): { readonly key: string; readonly removed: boolean } =>
  marked.startsWith("-") ? { key: marked.slice(1), removed: true } : { key: marked, removed: false };
