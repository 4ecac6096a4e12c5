import { buildGoProgram, goPrograms } from "/work/wt/drv/packages/testing/src/index.ts";
for (const k of ["csiSanity", "csiAttacher", "csiResizer", "csiSnapshotter", "snapshotController"] as const) {
  const t = Date.now();
  try {
    console.log(k, JSON.stringify(await buildGoProgram(goPrograms[k])), Date.now() - t);
  } catch (e) {
    console.log(k, String(e).slice(0, 1500));
  }
}
