import { TripodError } from "@tripod/base";

/** The family of suffixes in which a quantity was written and is printed again. */
export type QuantityFormat = "decimal" | "binary" | "exponent";

/** A quantity as an exact whole number of billionths, the finest step that Kubernetes keeps. */
export interface ParsedQuantity {
  readonly nano: bigint;
  readonly format: QuantityFormat;
}

const nanoPerOne = 1_000_000_000n;
/** Values are capped here, as upstream does. */
const largest = (2n ** 63n - 1n) * nanoPerOne;
const decimalSuffixes: readonly (readonly [string, number])[] = [
  ["n", -9],
  ["u", -6],
  ["m", -3],
  ["", 0],
  ["k", 3],
  ["M", 6],
  ["G", 9],
  ["T", 12],
  ["P", 15],
  ["E", 18],
];
const binarySuffixes: readonly (readonly [string, number])[] = [
  ["", 0],
  ["Ki", 10],
  ["Mi", 20],
  ["Gi", 30],
  ["Ti", 40],
  ["Pi", 50],
  ["Ei", 60],
];
const pattern = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,9})|([numkMGTPE]|[KMGTPE]i)?)$/;
const mostCharacters = 256;

const ceilDivide = (a: bigint, b: bigint): bigint => (a + b - 1n) / b;
const cap = (magnitude: bigint): bigint => (magnitude > largest ? largest : magnitude);

/**
 * Reads a quantity such as "1.5", "250m", "128Mi" or "1e3" exactly; what is finer than a billionth is rounded away from zero.
 * Throws "invalid" for anything else.
 */
export function parseQuantity(text: string | number): ParsedQuantity {
  const match = mostCharacters < String(text).length ? null : pattern.exec(String(text));
  const [, sign, whole = "", fraction = "", exponent, suffix = ""] = match ?? [];
  if (match === null || whole + fraction === "") {
    throw new TripodError(
      "invalid",
      `${JSON.stringify(text).slice(0, 60)} is not a quantity: it needs a number and one of the suffixes n u m k M G T P E Ki Mi Gi Ti Pi Ei or an exponent`,
    );
  }
  const digits = BigInt(whole + fraction);
  const binary = suffix.endsWith("i") ? binarySuffixes.find(([name]) => name === suffix)?.[1] : undefined;
  const tenth =
    exponent !== undefined ? Number(exponent) : (decimalSuffixes.find(([name]) => name === suffix)?.[1] ?? 0);
  // Beyond these bounds a value is capped or rounds up to one billionth whatever its digits are.
  const power = Math.max(-mostCharacters * 2, Math.min(mostCharacters * 2, tenth)) + 9 - fraction.length;
  let magnitude = binary === undefined ? digits : digits << BigInt(binary);
  magnitude = power >= 0 ? magnitude * 10n ** BigInt(power) : ceilDivide(magnitude, 10n ** BigInt(-power));
  magnitude = cap(magnitude);
  // A binary amount below one cannot be printed with a binary suffix.
  const format =
    exponent !== undefined ? "exponent" : binary !== undefined && magnitude >= nanoPerOne ? "binary" : "decimal";
  return { nano: sign === "-" ? -magnitude : magnitude, format };
}

/** The canonical text: the largest suffix that needs no fraction, in the family it was written in. */
export function formatQuantity({ nano, format }: ParsedQuantity): string {
  if (nano === 0n) return "0";
  const sign = nano < 0n ? "-" : "";
  const magnitude = nano < 0n ? -nano : nano;
  if (format === "binary" && magnitude >= 1024n * nanoPerOne) {
    let amount = ceilDivide(magnitude, nanoPerOne);
    let step = 0;
    while (amount % 1024n === 0n && step < binarySuffixes.length - 1) {
      amount /= 1024n;
      step += 1;
    }
    return `${sign}${amount}${binarySuffixes[step]?.[0]}`;
  }
  let amount = magnitude;
  let step = 0;
  while (amount % 1000n === 0n && step < decimalSuffixes.length - 1) {
    amount /= 1000n;
    step += 1;
  }
  const [suffix, power] = decimalSuffixes[step] ?? ["", 0];
  if (format === "exponent") return `${sign}${amount}${power === 0 ? "" : `e${power}`}`;
  return `${sign}${amount}${suffix}`;
}

/** The canonical text of a quantity's text. */
export const canonicalQuantity = (text: string | number): string => formatQuantity(parseQuantity(text));

/** Negative, zero or positive, as a is less than, equal to or more than b. */
export function compareQuantities(a: string | number, b: string | number): number {
  const difference = parseQuantity(a).nano - parseQuantity(b).nano;
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}

/** The sum, printed in the first one's format ("0" takes the second's). */
export function addQuantities(a: string | number, b: string | number): string {
  const [first, second] = [parseQuantity(a), parseQuantity(b)];
  return formatQuantity({ nano: first.nano + second.nano, format: first.nano === 0n ? second.format : first.format });
}

/** The amount in whole units, rounded away from zero: bytes of memory, for example. */
export function quantityValue(text: string | number): bigint {
  const { nano } = parseQuantity(text);
  return nano < 0n ? -ceilDivide(-nano, nanoPerOne) : ceilDivide(nano, nanoPerOne);
}

/** The amount in thousandths, rounded away from zero: millicores of CPU, for example. */
export function quantityMilliValue(text: string | number): bigint {
  const { nano } = parseQuantity(text);
  return nano < 0n ? -ceilDivide(-nano, 1_000_000n) : ceilDivide(nano, 1_000_000n);
}
