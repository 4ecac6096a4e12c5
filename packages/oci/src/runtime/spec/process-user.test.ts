import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parseGroup, parsePasswd, readAccounts } from "./account-files.ts";
import { resolveUser, type UserRequest } from "./process-user.ts";

const accounts = {
  passwd: parsePasswd(
    "root:x:0:0:root:/root:/bin/sh\n# comment\n+nis\nbroken:x:ten:1::/\nwww:x:80:81:Web:/srv:/bin/false\n",
  ),
  group: parseGroup("root:x:0:\nweb:x:81:\nlogs:x:90:www,other\nempty\n"),
};
const plain: UserRequest = { imageUser: "", supplementalGroups: [], groupsPolicy: "merge" };

const good: readonly [string, Partial<UserRequest>, { uid: number; gid: number; groups: number[]; home: string }][] = [
  ["nothing asked is root", {}, { uid: 0, gid: 0, groups: [0], home: "/root" }],
  ["the image's name", { imageUser: "www" }, { uid: 80, gid: 81, groups: [81, 90], home: "/srv" }],
  ["the image's name and group", { imageUser: "www:logs" }, { uid: 80, gid: 90, groups: [90], home: "/srv" }],
  ["the image's numbers", { imageUser: "5:6" }, { uid: 5, gid: 6, groups: [6], home: "/" }],
  [
    "a uid goes before the image's user",
    { uid: 80, imageUser: "root:logs" },
    { uid: 80, gid: 81, groups: [81, 90], home: "/srv" },
  ],
  ["a uid without entry is in group 0", { uid: 4242 }, { uid: 4242, gid: 0, groups: [0], home: "/" }],
  [
    "a name goes before the image's",
    { username: "www", imageUser: "root" },
    { uid: 80, gid: 81, groups: [81, 90], home: "/srv" },
  ],
  [
    "strict leaves memberships out",
    { uid: 80, groupsPolicy: "strict", supplementalGroups: [7] },
    { uid: 80, gid: 81, groups: [7, 81], home: "/srv" },
  ],
  [
    "merge adds to memberships",
    { uid: 80, gid: 3, supplementalGroups: [7, 90] },
    { uid: 80, gid: 3, groups: [3, 7, 90], home: "/srv" },
  ],
];
for (const [name, change, want] of good) {
  test(`resolveUser: ${name}`, () => {
    const { uid, gid, additionalGids, home } = resolveUser({ ...plain, ...change }, accounts);
    assert.deepEqual({ uid, gid, groups: additionalGids, home }, want);
  });
}

const bad: readonly [Partial<UserRequest>, RegExp][] = [
  [{ imageUser: "nobody" }, /no user "nobody"/],
  [{ imageUser: "www:absent" }, /no group "absent"/],
  [{ uid: -1 }, /not between/],
  [{ uid: 2 ** 31 }, /not between/],
  [{ supplementalGroups: Array.from({ length: 65_537 }, () => 1) }, /more than 65536/],
  [{ uid: 1, supplementalGroups: [1.5] }, /not between/],
];
for (const [change, why] of bad) {
  test(`resolveUser refuses ${JSON.stringify(change).slice(0, 80)}`, () => {
    assert.throws(() => resolveUser({ ...plain, ...change }, accounts), why);
  });
}

test("readAccounts does not leave the root through links, and takes missing files for empty ones", () => {
  const folder = mkdtempSync("/tmp/tripod-accounts-");
  try {
    const rootfs = join(folder, "rootfs");
    mkdirSync(join(rootfs, "etc"), { recursive: true });
    mkdirSync(join(folder, "outside"));
    writeFileSync(join(folder, "outside/passwd"), "outsider:x:1:1::/:\n");
    symlinkSync("../../outside/passwd", join(rootfs, "etc/passwd"));
    assert.deepEqual(readAccounts(rootfs), { passwd: [], group: [] });
    mkdirSync(join(rootfs, "outside"));
    writeFileSync(join(rootfs, "outside/passwd"), "insider:x:2:2::/home:\n");
    assert.equal(readAccounts(rootfs).passwd[0]?.name, "insider");
    mkdirSync(join(rootfs, "etc/group"));
    assert.throws(() => readAccounts(rootfs), /not a regular file|EISDIR/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
