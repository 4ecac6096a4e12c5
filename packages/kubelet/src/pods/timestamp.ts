/** A time as Kubernetes objects carry it: RFC 3339, whole seconds, UTC. */
export const timestampOf = (unixMs: number): string => `${new Date(unixMs).toISOString().slice(0, 19)}Z`;

/** The Unix time in milliseconds of a Kubernetes timestamp; undefined when absent or unreadable. */
export function unixMsOf(timestamp: string | undefined): number | undefined {
  const found = timestamp === undefined ? Number.NaN : Date.parse(timestamp);
  return Number.isNaN(found) ? undefined : found;
}
