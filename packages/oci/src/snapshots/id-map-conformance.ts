import assert from "node:assert/strict";
import { lstatSync } from "node:fs";
import { chown, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createUserNamespace, mountInfo, removeNamespace, unmount } from "@tripod/linux";
import { commit, type ConformanceSubject, facts, mebibyte, registrar } from "./conformance-subject.ts";

/** The tests of Snapshotter that are about user namespaces: by themselves for places where owners are shown in another way. */
export function idMapConformance(name: string, make: () => Promise<ConformanceSubject>): void {
  const it = registrar(name, make);

  it("for a user namespace, owners in layers are the namespace's, and layers stay what they are", async ({
    snapshotter,
    targets,
  }) => {
    const ids = { containerId: 0, hostId: 200_000, length: 65_536 };
    const chain = await commit(snapshotter, facts("mapped"), async (dir) => {
      await writeFile(join(dir, "root"), "");
      await writeFile(join(dir, "user"), "");
      await chown(join(dir, "user"), 12, 34);
    });
    const userNamespace = join(targets, "user");
    await createUserNamespace(userNamespace, { uids: ids, gids: { ...ids, hostId: 300_000 } });
    const idMap = { userNamespace, uids: ids, gids: { ...ids, hostId: 300_000 } };
    const [target, view] = [join(targets, "rootfs"), join(targets, "view")];
    const owner = (path: string): number[] => [lstatSync(path).uid, lstatSync(path).gid];
    try {
      await snapshotter.mountWritable("i", { layers: [chain], target, idMap });
      await snapshotter.mountView("i", { layers: [chain], target: view, idMap });
      for (const folder of [target, view]) {
        assert.deepEqual(owner(folder), [200_000, 300_000]);
        assert.deepEqual(owner(join(folder, "root")), [200_000, 300_000]);
        assert.deepEqual(owner(join(folder, "user")), [200_012, 300_034]);
      }
      await chown(join(target, "user"), 200_000, 300_000);
      assert.deepEqual(owner(join(snapshotter.layer(chain)?.dir ?? "", "user")), [12, 34]);
      unmount(view);
      await snapshotter.removeWritable("i", { target });
      await snapshotter.mountWritable("i", { layers: [chain], target, idMap, maxSizeBytes: 16 * mebibyte });
      assert.deepEqual(owner(target), [200_000, 300_000]);
      assert.deepEqual(owner(join(target, "user")), [200_012, 300_034]);
      await snapshotter.removeWritable("i", { target });
      assert.deepEqual(
        mountInfo().filter(({ mountPoint }) => mountPoint.endsWith("/mapped")),
        [],
      );
    } finally {
      removeNamespace(userNamespace);
    }
  });
}
