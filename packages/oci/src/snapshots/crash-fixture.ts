import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { silentLogger } from "@tripod/base";
import { OverlaySnapshotter } from "./overlay-snapshotter.ts";

// A process for crash.test.ts: makes and removes a limited writable; TRIPOD_FAILPOINT kills it somewhere on the way.

const [dir = "", target = "", maxSizeBytes = ""] = process.argv.slice(2);
await using snapshotter = await OverlaySnapshotter.open(dir, silentLogger);
await snapshotter.mountWritable("c1", { layers: [], target, maxSizeBytes: Number(maxSizeBytes) });
writeFileSync(join(target, "file"), "content");
await snapshotter.removeWritable("c1", { target });
