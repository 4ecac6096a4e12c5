import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { silentLogger } from "@tripod/base";
import { digestOf } from "../digest.ts";
import { LayeredSnapshotter } from "./layered-snapshotter.ts";
import type { SnapshotterKind } from "./snapshotter-kind.ts";

// A process for crash.test.ts: makes and removes a writable of one layer, limited when it is told; TRIPOD_FAILPOINT kills it on the way.

const [dir = "", kind = "", target = "", maxSizeBytes = ""] = process.argv.slice(2);
const chainId = digestOf("layer");
// The test passes kinds alone.
await using snapshotter = await LayeredSnapshotter.open(dir, silentLogger, kind as SnapshotterKind);
{
  await using draft = await snapshotter.draft();
  writeFileSync(join(draft.dir, "below"), "");
  await draft.commit({ chainId, parent: undefined, bytes: 0, inodes: 1, opaqueRoot: false });
}
const limit = maxSizeBytes === "" ? {} : { maxSizeBytes: Number(maxSizeBytes) };
await snapshotter.mountWritable("c1", { layers: [chainId], target, ...limit });
writeFileSync(join(target, "file"), "content");
await snapshotter.removeWritable("c1", { target });
await snapshotter.removeLayers([chainId]);
