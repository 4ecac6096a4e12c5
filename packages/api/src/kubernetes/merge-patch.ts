import { getOwn, isObject, setOwn } from "./own-property.ts";

/** Applies a JSON merge patch (RFC 7386): null removes, objects merge, everything else replaces. Arguments stay as they are. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const result: Record<string, unknown> = {};
  if (isObject(target)) for (const key of Object.keys(target)) setOwn(result, key, getOwn(target, key));
  for (const key of Object.keys(patch)) {
    const value = getOwn(patch, key);
    if (value === null) delete result[key];
    else setOwn(result, key, mergePatch(getOwn(result, key), value));
  }
  return result;
}
