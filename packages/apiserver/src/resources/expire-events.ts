import type { Event } from "@tripod/api/kubernetes";
import { isTripodError } from "@tripod/base";
import type { ObjectStore } from "../registry/object-store.ts";
import { events } from "./event.ts";

/** How long an Event is kept after it was last seen. */
const lifetimeMs = 60 * 60 * 1000;
/** How many are removed side by side. */
const width = 50;

const lastChange = ({ metadata, lastTimestamp, series, eventTime }: Event): number =>
  Math.max(
    ...[metadata.creationTimestamp, lastTimestamp, eventTime, series?.lastObservedTime].map((time) =>
      time === undefined ? 0 : Date.parse(time),
    ),
  );

/** Removes Events that nobody has seen happen for an hour. */
export async function expireEvents(store: ObjectStore, nowMs = Date.now()): Promise<void> {
  const { items } = await store.list<Event>(events, undefined);
  const old = items.filter((each) => lastChange(each.object) < nowMs - lifetimeMs);
  for (let at = 0; at < old.length; at += width) {
    await Promise.all(
      old.slice(at, at + width).map(async (each) => {
        try {
          await store.remove(events, each);
        } catch (error) {
          // It happened again meanwhile, or somebody else removed it.
          if (!isTripodError(error, "conflict", "not-found")) throw error;
        }
      }),
    );
  }
}
