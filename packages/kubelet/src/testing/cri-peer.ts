import { join } from "node:path";
import type { Layout } from "@tripod/base";
import {
  type CriProcess,
  debianProgram,
  debianPrograms,
  pushBusybox,
  startContainerd,
  startCriProcess,
} from "@tripod/testing";

/** Our own CRI server, as the sibling package starts it for its tests. */
export function startTripodCri(layout: Layout): Promise<CriProcess> {
  const root = layout.root ?? "";
  const main = join(import.meta.dirname, "../../../cri/src/testing/serve-main.ts");
  const criu = debianProgram(debianPrograms.criu);
  const config = "path" in criu ? { criu: criu.path } : {};
  return startCriProcess({
    command: [process.execPath, main, root, JSON.stringify(config)],
    socket: layout.criSocket,
    logFile: join(root, "cri.log"),
  });
}

/** Debian's containerd with Debian's CNI plugins; the pause image is busybox that sleeps, from the test's registry. */
export async function startContainerdCri(layout: Layout, registry: { readonly host: string }): Promise<CriProcess> {
  const sandboxImage = await pushBusybox(registry, "pause:1", { spec: { cmd: ["/bin/sleep", "100000"] } });
  const dir = join(layout.root ?? "", "containerd");
  return startContainerd({ dir, sandboxImage, cniConfDir: layout.cniConfDir });
}
