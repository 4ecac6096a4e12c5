import { TripodError } from "@tripod/base";

const nanosPer: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1_000n,
  µs: 1_000n,
  μs: 1_000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
};
const part = /(\d*)(?:\.(\d*))?(ns|us|µs|μs|ms|s|m|h)/y;

/** Nanoseconds of a duration such as "1h30m" or "1.5s"; throws "invalid" for anything else. */
export function parseDuration(text: string): bigint {
  const bad = (): TripodError =>
    new TripodError(
      "invalid",
      `${JSON.stringify(text).slice(0, 60)} is not a duration: write it as 1h30m, 10s or 1.5s`,
    );
  const sign = text.startsWith("-") ? -1n : 1n;
  const body = text.replace(/^[+-]/, "");
  if (body === "0") return 0n;
  if (body === "" || text.length > 100) throw bad();
  let total = 0n;
  part.lastIndex = 0;
  for (let at = 0; at < body.length; at = part.lastIndex) {
    part.lastIndex = at;
    const match = part.exec(body);
    const [, whole = "", fraction = "", unit = ""] = match ?? [];
    const size = nanosPer[unit];
    if (match === null || size === undefined || whole + fraction === "") throw bad();
    total += (BigInt(whole + fraction) * size) / 10n ** BigInt(fraction.length);
  }
  return sign * total;
}

/** As Go prints durations: "1h30m0s", "1.5s", "250ms", "0s". */
export function formatDuration(nanos: bigint): string {
  if (nanos === 0n) return "0s";
  const sign = nanos < 0n ? "-" : "";
  const size = nanos < 0n ? -nanos : nanos;
  const fraction = (amount: bigint, unit: bigint): string => {
    const rest = String(amount % unit)
      .padStart(String(unit).length - 1, "0")
      .replace(/0+$/, "");
    return `${amount / unit}${rest === "" ? "" : `.${rest}`}`;
  };
  if (size < 1_000n) return `${sign}${size}ns`;
  if (size < 1_000_000n) return `${sign}${fraction(size, 1_000n)}µs`;
  if (size < 1_000_000_000n) return `${sign}${fraction(size, 1_000_000n)}ms`;
  const minute = 60_000_000_000n;
  const seconds = `${fraction(size % minute, 1_000_000_000n)}s`;
  const minutes = size / minute;
  if (minutes === 0n) return `${sign}${seconds}`;
  const hours = minutes / 60n;
  return `${sign}${hours === 0n ? "" : `${hours}h`}${minutes % 60n}m${seconds}`;
}
