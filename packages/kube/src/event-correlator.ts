/** What makes events of one object alike. */
export interface EventKey {
  /** Kind, namespace, name and uid of the object, in one text. */
  readonly object: string;
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
}

export type Correlated =
  /** A new event is to be written. */
  | { readonly kind: "new"; readonly message: string; readonly cacheKey: string }
  /** The event `name` is to be counted once more. */
  | {
      readonly kind: "repeat";
      readonly name: string;
      readonly count: number;
      readonly message: string;
      readonly cacheKey: string;
    }
  /** The object has too many; this one is dropped. */
  | { readonly kind: "drop" };

interface Entry {
  name: string | undefined;
  count: number;
}
interface Similar {
  messages: Set<string>;
  sinceMs: number;
}
interface Bucket {
  tokens: number;
  atMs: number;
}

const mostEntries = 4096;
const similarLimit = 10;
const similarWindowMs = 600_000;
const burst = 25;
const msPerToken = 300_000;

/**
 * Decides what becomes of an event, so that a loop that fails again and again costs little: the same event is counted, more than ten
 * of one reason that differ in the message alone are combined, and an object has 25 events at once, then one in five minutes.
 */
export class EventCorrelator {
  readonly #entries = new Map<string, Entry>();
  readonly #similar = new Map<string, Similar>();
  readonly #buckets = new Map<string, Bucket>();

  correlate(key: EventKey, nowMs: number): Correlated {
    const group = [key.object, key.type, key.reason].join("\0");
    const similar = touch(this.#similar, group, () => ({ messages: new Set(), sinceMs: nowMs }));
    if (nowMs - similar.sinceMs > similarWindowMs) {
      similar.messages.clear();
      similar.sinceMs = nowMs;
    }
    if (similar.messages.size <= similarLimit) similar.messages.add(key.message);
    const combined = similar.messages.size > similarLimit;
    const message = combined ? `(combined from similar events): ${key.message}` : key.message;
    const cacheKey = combined ? group : `${group}\0${key.message}`;
    if (!this.#take(key.object, nowMs)) return { kind: "drop" };
    const entry = touch(this.#entries, cacheKey, () => ({ name: undefined, count: 0 }));
    entry.count += 1;
    if (entry.name === undefined) return { kind: "new", message, cacheKey };
    return { kind: "repeat", name: entry.name, count: entry.count, message, cacheKey };
  }

  /** Says under which name the event was written. */
  written(cacheKey: string, name: string): void {
    const entry = this.#entries.get(cacheKey);
    if (entry !== undefined) entry.name = name;
  }

  /** Says that the event is no longer there, so that the next one is new. */
  gone(cacheKey: string): void {
    this.#entries.delete(cacheKey);
  }

  #take(object: string, nowMs: number): boolean {
    const bucket = touch(this.#buckets, object, () => ({ tokens: burst, atMs: nowMs }));
    bucket.tokens = Math.min(burst, bucket.tokens + (nowMs - bucket.atMs) / msPerToken);
    bucket.atMs = nowMs;
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  }
}

/** The entry of a key, made if need be and moved to the end; the oldest go when there are too many. */
function touch<V>(map: Map<string, V>, key: string, make: () => V): V {
  const value = map.get(key) ?? make();
  map.delete(key);
  map.set(key, value);
  if (map.size > mostEntries) {
    const [oldest] = map.keys();
    if (oldest !== undefined) map.delete(oldest);
  }
  return value;
}
