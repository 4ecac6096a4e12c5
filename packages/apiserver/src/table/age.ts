/** Seconds as kubectl prints spans of time: 5s, 3m20s, 2h, 5d. */
function spanText(totalSeconds: number): string {
  if (totalSeconds < -1) return "<invalid>";
  const seconds = Math.max(0, Math.floor(totalSeconds));
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  const days = Math.floor(hours / 24);
  const years = Math.floor(days / 365);
  const and = (rest: number, unit: string): string => (rest === 0 ? "" : `${rest}${unit}`);
  if (seconds < 120) return `${seconds}s`;
  if (minutes < 10) return `${minutes}m${and(seconds % 60, "s")}`;
  if (minutes < 180) return `${minutes}m`;
  if (hours < 8) return `${hours}h${and(minutes % 60, "m")}`;
  if (hours < 48) return `${hours}h`;
  if (days < 8) return `${days}d${and(hours % 24, "h")}`;
  if (days < 730) return `${days}d`;
  if (years < 8) return `${years}y${and(days % 365, "d")}`;
  return `${years}y`;
}

/** How long ago `time` (RFC 3339) was, as kubectl prints ages. */
export const age = (time: string | undefined, nowMs = Date.now()): string =>
  time === undefined || time === "" ? "<unknown>" : spanText((nowMs - Date.parse(time)) / 1000);
