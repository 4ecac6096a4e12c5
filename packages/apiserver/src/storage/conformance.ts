import assert from "node:assert/strict";
import { test } from "node:test";
import { codeOf, type ErrorCode } from "@tripod/base";
import type { Storage, StorageWatch, WatchItem } from "./storage.ts";

/** How the suite gets stores. */
export interface StorageUnderTest {
  /** A new, empty store. The suite disposes of it. */
  open(): Promise<Storage>;
  /** Disposes of the store and opens it again on what it kept; absent for stores that keep nothing. */
  reopen?(storage: Storage): Promise<Storage>;
}

const refusedWith =
  (code: ErrorCode) =>
  (error: unknown): boolean =>
    codeOf(error) === code;

/** The next items of a watch, so many. */
async function take(watch: StorageWatch, count: number): Promise<WatchItem[]> {
  const items: WatchItem[] = [];
  for await (const item of watch) {
    items.push(item);
    if (items.length === count) break;
  }
  return items;
}

const shown = (items: readonly WatchItem[]): string[] =>
  items.map((item) => {
    if (item.type === "bookmark") return `bookmark ${item.revision}`;
    if (item.type === "delete") return `delete ${item.previous.key}=${item.previous.value} @${item.revision}`;
    return `put ${item.current.key}=${item.current.value} @${item.revision}`;
  });

/**
 * The suite that every Storage passes; node:test tests named after `name`. Call it in a test file:
 * `storageConformance("SqliteStorage", { open, reopen })`.
 */
export function storageConformance(name: string, subject: StorageUnderTest): void {
  const check = (what: string, work: (storage: Storage) => Promise<void>): void => {
    void test(`${name}: ${what}`, async () => {
      await using storage = await subject.open();
      await work(storage);
    });
  };

  check("an empty store is at a positive revision, and a list of it says so", async (storage) => {
    const revision = await storage.currentRevision();
    assert.ok(revision >= 1);
    assert.deepEqual(await storage.list("/a/"), { items: [], revision, remaining: 0 });
    assert.equal(await storage.get("/a/x"), undefined);
  });

  check("what is written is read, at revisions that count every change by one", async (storage) => {
    const start = await storage.currentRevision();
    const made = await storage.create("/a/x", "1");
    assert.deepEqual(made, { key: "/a/x", value: "1", createRevision: start + 1, revision: start + 1 });
    const changed = await storage.update("/a/x", "2", made.revision);
    assert.deepEqual(changed, { key: "/a/x", value: "2", createRevision: start + 1, revision: start + 2 });
    assert.deepEqual(await storage.get("/a/x"), changed);
    assert.equal(await storage.delete("/a/x", changed.revision), start + 3);
    assert.equal(await storage.get("/a/x"), undefined);
    assert.equal(await storage.currentRevision(), start + 3);
  });

  check("refused writes change nothing and use no revision", async (storage) => {
    const made = await storage.create("/a/x", "1");
    await assert.rejects(storage.create("/a/x", "2"), refusedWith("already-exists"));
    await assert.rejects(storage.update("/a/x", "2", made.revision - 1), refusedWith("conflict"));
    await assert.rejects(storage.update("/a/y", "2", made.revision), refusedWith("not-found"));
    await assert.rejects(storage.delete("/a/x", made.revision + 1), refusedWith("conflict"));
    await assert.rejects(storage.delete("/a/y", made.revision), refusedWith("not-found"));
    assert.deepEqual(await storage.get("/a/x"), made);
    assert.equal(await storage.currentRevision(), made.revision);
  });

  check("of many writers of one revision exactly one wins", async (storage) => {
    const made = await storage.create("/a/x", "0");
    const results = await Promise.allSettled(
      Array.from({ length: 20 }, (_, index) => storage.update("/a/x", String(index), made.revision)),
    );
    const won = results.filter((result) => result.status === "fulfilled");
    assert.equal(won.length, 1);
    for (const result of results) if (result.status === "rejected") assert.equal(codeOf(result.reason), "conflict");
    assert.equal((await storage.get("/a/x"))?.revision, made.revision + 1);
  });

  check("a list is in the order of the keys and knows its prefix from longer ones", async (storage) => {
    for (const key of ["/a/b", "/a/a", "/ab/x", "/a/ä", "/a/z", "/a/a/a"]) await storage.create(key, key);
    const { items } = await storage.list("/a/");
    assert.deepEqual(
      items.map((item) => item.key),
      ["/a/a", "/a/a/a", "/a/b", "/a/z", "/a/ä"],
    );
  });

  check("pages of one revision fit together whatever is written meanwhile", async (storage) => {
    for (let index = 0; index < 10; index += 1) await storage.create(`/a/${index}`, "old");
    const first = await storage.list("/a/", { limit: 4 });
    assert.equal(first.remaining, 6);
    const fourth = await storage.get("/a/4");
    await storage.update("/a/4", "new", fourth?.revision ?? 0);
    await storage.delete("/a/7", (await storage.get("/a/7"))?.revision ?? 0);
    await storage.create("/a/55", "new");
    const rest = await storage.list("/a/", { after: first.items.at(-1)?.key ?? "", revision: first.revision });
    assert.equal(rest.revision, first.revision);
    assert.deepEqual(
      [...first.items, ...rest.items].map((item) => `${item.key}=${item.value}`),
      Array.from({ length: 10 }, (_, index) => `/a/${index}=old`),
    );
  });

  check("a watch tells of every change below its prefix, past and coming, in order", async (storage) => {
    const start = await storage.currentRevision();
    const x = await storage.create("/a/x", "1");
    await storage.create("/b/x", "other");
    const changed = await storage.update("/a/x", "2", x.revision);
    const watch = await storage.watch("/a/", start);
    await storage.delete("/a/x", changed.revision);
    await storage.create("/a/y", "3");
    assert.deepEqual(shown(await take(watch, 4)), [
      `put /a/x=1 @${start + 1}`,
      `put /a/x=2 @${start + 3}`,
      `delete /a/x=2 @${start + 4}`,
      `put /a/y=3 @${start + 5}`,
    ]);
  });

  check("an event carries what was there before", async (storage) => {
    const start = await storage.currentRevision();
    const x = await storage.create("/a/x", "1");
    const changed = await storage.update("/a/x", "2", x.revision);
    await storage.delete("/a/x", changed.revision);
    const again = await storage.create("/a/x", "3");
    const [made, updated, deleted, remade] = await take(await storage.watch("/a/", start), 4);
    assert.ok(made?.type === "put" && made.previous === undefined);
    assert.ok(updated?.type === "put");
    assert.deepEqual(updated.previous, x);
    assert.deepEqual(deleted, { type: "delete", revision: changed.revision + 1, previous: changed });
    assert.ok(remade?.type === "put" && remade.previous === undefined);
    assert.equal(again.createRevision, again.revision);
  });

  check("a bookmark comes after everything that happened before it was asked for", async (storage) => {
    const watch = await storage.watch("/a/", await storage.currentRevision());
    const x = await storage.create("/a/x", "1");
    const other = await storage.create("/b/x", "1");
    watch.requestBookmark();
    assert.deepEqual(shown(await take(watch, 2)), [`put /a/x=1 @${x.revision}`, `bookmark ${other.revision}`]);
  });

  check("a closed watch ends after what it had", async (storage) => {
    const watch = await storage.watch("/a/", await storage.currentRevision());
    const x = await storage.create("/a/x", "1");
    watch.close();
    await storage.create("/a/y", "2");
    assert.deepEqual(shown(await Array.fromAsync(watch)), [`put /a/x=1 @${x.revision}`]);
  });

  check("what was compacted is refused, what came after is not", async (storage) => {
    const start = await storage.currentRevision();
    let x = await storage.create("/a/x", "0");
    for (let index = 1; index <= 5; index += 1) x = await storage.update("/a/x", String(index), x.revision);
    const y = await storage.create("/a/y", "1");
    await storage.delete("/a/y", y.revision);
    await storage.compact(x.revision);
    await assert.rejects(storage.watch("/a/", start), refusedWith("out-of-range"));
    await assert.rejects(storage.list("/a/", { revision: x.revision - 1 }), refusedWith("out-of-range"));
    assert.deepEqual(shown(await take(await storage.watch("/a/", x.revision), 2)), [
      `put /a/y=1 @${y.revision}`,
      `delete /a/y=1 @${y.revision + 1}`,
    ]);
    const past = await storage.list("/a/", { revision: x.revision });
    assert.deepEqual(past.items, [x]);
    assert.deepEqual((await storage.list("/a/")).items, [x]);
  });

  check("what has not happened yet is refused", async (storage) => {
    const future = (await storage.currentRevision()) + 1;
    await assert.rejects(storage.watch("/a/", future), refusedWith("invalid"));
    await assert.rejects(storage.list("/a/", { revision: future }), refusedWith("invalid"));
    await assert.rejects(storage.compact(future), refusedWith("invalid"));
  });

  check("any text is kept as it is, in keys too", async (storage) => {
    const value = '\u{1f600} "quotes" \\ \u0000 \'; DROP TABLE heads; --';
    await storage.create("/a/'x%_", value);
    assert.equal((await storage.get("/a/'x%_"))?.value, value);
    assert.equal((await storage.list("/a/")).items[0]?.value, value);
  });

  const reopen = subject.reopen?.bind(subject);
  if (reopen === undefined) return;
  test(`${name}: a store that is opened again is as it was, and its revision goes on`, async () => {
    let storage = await subject.open();
    try {
      const start = await storage.currentRevision();
      const x = await storage.create("/a/x", "1");
      await storage.delete("/a/x", x.revision);
      const y = await storage.create("/a/y", "2");
      storage = await reopen(storage);
      assert.equal(await storage.currentRevision(), y.revision);
      assert.deepEqual((await storage.list("/a/")).items, [y]);
      assert.equal((await take(await storage.watch("/a/", start), 3)).length, 3);
      await storage.delete("/a/y", y.revision);
      await storage.compact(y.revision + 1);
      storage = await reopen(storage);
      assert.equal(await storage.currentRevision(), y.revision + 1);
      await assert.rejects(storage.watch("/a/", y.revision), refusedWith("out-of-range"));
    } finally {
      await storage[Symbol.asyncDispose]();
    }
  });
}
