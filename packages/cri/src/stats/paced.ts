import { setImmediate as nextTurn } from "node:timers/promises";

/**
 * Works through the items one after another and gives the event loop a turn after each: reading a group's files is synchronous, which is the
 * cheapest way, and a node has many groups.
 */
export async function* paced<T, R>(items: Iterable<T>, work: (item: T) => Promise<R> | R): AsyncGenerator<R, void> {
  for (const item of items) {
    yield await work(item);
    await nextTurn();
  }
}
