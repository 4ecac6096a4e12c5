import { TripodError } from "@tripod/base";

const rfc3339 = /^(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)$/;

interface Instant {
  readonly seconds: number;
  readonly nanos: number;
}

/** Reads RFC 3339 text; throws "invalid" for anything else. */
export function parseTime(text: string): Instant {
  const match = text.length > 64 ? null : rfc3339.exec(text);
  const ms = match === null ? Number.NaN : Date.parse(`${match[1]}T${match[2]}${match[4]?.toUpperCase()}`);
  if (match === null || Number.isNaN(ms))
    throw new TripodError(
      "invalid",
      `${JSON.stringify(text).slice(0, 80)} is not a time: write it as 2006-01-02T15:04:05Z`,
    );
  return { seconds: ms / 1000, nanos: Number((match[3] ?? "").slice(0, 9).padEnd(9, "0")) };
}

/** Whole seconds in UTC: "2006-01-02T15:04:05Z". */
export const formatTime = (instant: { readonly seconds: number }): string =>
  `${new Date(instant.seconds * 1000).toISOString().slice(0, -5)}Z`;

/** Microseconds in UTC: "2006-01-02T15:04:05.000000Z". */
export const formatMicroTime = (instant: Instant): string =>
  `${new Date(instant.seconds * 1000).toISOString().slice(0, -5)}.${String(Math.floor(instant.nanos / 1000)).padStart(6, "0")}Z`;

/** The current time as metav1.Time. */
export const timeNow = (now: Date = new Date()): string => formatTime({ seconds: Math.floor(now.getTime() / 1000) });

/** The current time as metav1.MicroTime. */
export function microTimeNow(now: Date = new Date()): string {
  const ms = now.getTime();
  return formatMicroTime({ seconds: Math.floor(ms / 1000), nanos: (ms % 1000) * 1_000_000 });
}
