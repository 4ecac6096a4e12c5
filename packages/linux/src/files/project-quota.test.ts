import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { isRoot } from "../processes/capabilities.ts";
import { isErrno } from "../system-call-error.ts";
import { QuotaDisk, quotaFileSystems, writeAsContainer } from "../testing/index.ts";
import { hasProjectQuotas, limitProject, projectOf, projectUse, setProject, unusedProject } from "./project-quota.ts";

const mebibyte = 1024 * 1024;

for (const type of quotaFileSystems) {
  describe(`project quotas of ${type}`, { skip: isRoot() ? QuotaDisk.missing(type) : "mounting needs root" }, () => {
    test("a folder's project counts what is made in it, and is kept within its limit", () => {
      using disk = new QuotaDisk(type);
      assert.equal(hasProjectQuotas(disk.path), true);
      const folder = join(disk.path, "folder");
      mkdirSync(folder);
      assert.deepEqual(projectOf(folder), { id: 0, handsDown: false });
      const id = unusedProject(disk.path);
      setProject(folder, { id, handsDown: true });
      assert.deepEqual(projectOf(folder), { id, handsDown: true });
      limitProject(disk.path, id, BigInt(8 * mebibyte) - 1n);
      mkdirSync(join(folder, "below"));
      writeFileSync(join(folder, "below/file"), "x");
      assert.equal(projectOf(join(folder, "below/file")).id, id);
      const before = projectUse(disk.path, id);
      assert.deepEqual([before.limitBytes, before.inodes], [BigInt(8 * mebibyte), 3n]);
      assert.equal(writeAsContainer(join(folder, "fits"), 6 * mebibyte), undefined);
      assert.match(writeAsContainer(join(folder, "more"), 6 * mebibyte) ?? "", /quota exceeded|No space left/);
      const { usedBytes } = projectUse(disk.path, id);
      assert.ok(usedBytes > 6n * BigInt(mebibyte) && usedBytes <= 8n * BigInt(mebibyte), String(usedBytes));
      const { bsize, blocks } = statfsSync(folder);
      assert.equal(bsize * blocks, 8 * mebibyte, "df tells the limit");
      limitProject(disk.path, id, 0n);
      assert.equal(writeAsContainer(join(folder, "more"), 6 * mebibyte), undefined);
    });

    test("whoever owns a file gives it to another project, but not in a user namespace", () => {
      using disk = new QuotaDisk(type);
      const file = join(disk.path, "file");
      writeFileSync(file, "");
      const [id, other] = [unusedProject(disk.path), unusedProject(disk.path)];
      const plain = spawnSync("setpriv", ["--bounding-set=-all", "chattr", "-p", String(id), file]);
      assert.deepEqual([plain.status, projectOf(file).id], [0, id], plain.stderr?.toString());
      const inside = spawnSync("unshare", ["--user", "--map-root-user", "chattr", "-p", String(other), file]);
      assert.match(inside.stderr.toString(), /Invalid argument/);
      assert.equal(projectOf(file).id, id);
    });

    test("a file system that is mounted without them has none", () => {
      using disk = new QuotaDisk(type);
      disk.remount("");
      assert.equal(hasProjectQuotas(disk.path), false);
    });
  });
}

test("a file system that has no quotas at all says so", () => {
  assert.equal(hasProjectQuotas("/proc"), false);
  assert.throws(() => hasProjectQuotas("/proc/absent"), /ENOENT/);
  assert.throws(
    () => projectOf("/proc"),
    (error) => isErrno(error, "ENOTTY", "EOPNOTSUPP"),
  );
});
