import * as v from "valibot";

const whole = (least: number, most: number) =>
  v.pipe(
    v.number(),
    v.check(
      (value) => Number.isInteger(value) && value >= least && value <= most,
      `must be a whole number from ${least} to ${most}`,
    ),
  );

// JSON's numbers are doubles here: the ends of the 64-bit ranges are their nearest ones.
export const uint16 = whole(0, 2 ** 16 - 1);
export const int32 = whole(-(2 ** 31), 2 ** 31 - 1);
export const uint32 = whole(0, 2 ** 32 - 1);
export const int64 = whole(-(2 ** 63), 2 ** 63);
export const uint64 = whole(0, 2 ** 64);

export const between = whole;

export const strings = v.array(v.string());

export const absolutePath = v.pipe(v.string(), v.startsWith("/", "must be an absolute path"));

/** Strings by strings, without an empty key. */
export const stringMap = v.record(v.pipe(v.string(), v.nonEmpty("an empty key is not allowed")), v.string());

/** One of some words, which the error lists. */
export const oneOf = <const T extends readonly string[]>(words: T) =>
  v.picklist(words, `must be one of ${words.join(", ")}`);

/** Specification: config-linux.md, "User namespace mappings"; config.md, "Mounts". */
export const idMappings = v.array(v.object({ containerID: uint32, hostID: uint32, size: uint32 }));
