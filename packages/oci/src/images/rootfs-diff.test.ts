import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { lsetxattr, mknod } from "@tripod/linux";
import { diffOf } from "./rootfs-diff.ts";

const dir = mkdtempSync("/tmp/tripod-diff-");
after(() => rmSync(dir, { recursive: true }));
let serial = 0;

/** A folder of an overlay: "a/" is a folder, "a!/" an opaque one, "-a" a whiteout, anything else a file. */
function layer(...names: readonly string[]): string {
  serial += 1;
  const root = join(dir, String(serial));
  mkdirSync(root);
  for (const name of names) {
    const gone = name.startsWith("-");
    const path = join(root, name.replace(/^-|!?\/$/g, ""));
    mkdirSync(name.endsWith("/") ? path : dirname(path), { recursive: true });
    if (name.endsWith("!/")) lsetxattr(path, "trusted.overlay.opaque", { value: Buffer.from("y") });
    else if (gone) mknod(path, { kind: "character", major: 0, minor: 0, mode: 0 });
    else if (!name.endsWith("/")) writeFileSync(path, "");
  }
  return root;
}

test("what was written is told from the image: new, changed, deleted, replaced, in one folder or in two", async () => {
  const image = ["etc/passwd", "etc/group", "opt/app/a", "opt/app/sub/b", "srv/x", "tmp/"];
  const rows: [written: string[][], present: string[], deleted: string[], why: string][] = [
    [[[]], [], [], "nothing"],
    [[["etc/passwd", "new"]], ["etc", "etc/passwd", "new"], [], "changed and new"],
    [[["-srv", "-etc/group"]], ["etc"], ["etc/group", "srv"], "deleted"],
    [[["opt/app!/", "opt/app/c"]], ["opt", "opt/app", "opt/app/c"], ["opt/app/a", "opt/app/sub"], "emptied"],
    [
      [["opt/app!/", "opt/app/sub/c"]],
      ["opt", "opt/app", "opt/app/sub", "opt/app/sub/c"],
      ["opt/app/a", "opt/app/sub/b"],
      "a folder made anew in one made anew",
    ],
    [[["-made"], ["made"]], [], [], "made and deleted later"],
    [[["srv/x"], ["-srv/x", "-etc/group"]], ["etc", "srv", "srv/x"], ["etc/group"], "deleted and made later"],
    [[["srv!/"], ["srv/y"]], ["srv"], ["srv/x"], "emptied later"],
    [[["srv/y"], ["srv/z"]], ["srv", "srv/y", "srv/z"], [], "added twice"],
  ];
  const below = [layer("etc/passwd", "-gone"), layer(...image, "gone")];
  for (const [written, present, deleted, why] of rows) {
    const found = await diffOf(
      written.map((names) => layer(...names)),
      below,
    );
    assert.deepEqual(
      [found.present.toSorted(), found.deleted.toSorted()],
      [present.toSorted(), deleted.toSorted()],
      why,
    );
  }
});
