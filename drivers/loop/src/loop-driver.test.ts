import { connectDriver, type CsiDriverClient, serveDriver } from "@tripod/csi";
import { testDriver } from "@tripod/csi/testing";
import { TemporaryFolder } from "@tripod/linux/testing";
import { openLoopDriver } from "./loop-driver.ts";

async function served(
  options: { attach?: boolean } = {},
): Promise<AsyncDisposable & { client: CsiDriverClient; folder: TemporaryFolder; endpoint: string; stateDir: string }> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(new TemporaryFolder("loop"));
  const stateDir = folder.join("state");
  const opened = stack.use(await openLoopDriver({ stateDir, nodeId: "node-a", ...options }));
  const endpoint = folder.join("csi.sock");
  stack.use(await serveDriver({ endpoint, driver: opened.driver }));
  const client = stack.use(connectDriver(endpoint, { timeoutMs: 20_000 }));
  const kept = stack.move();
  return { client, folder, endpoint, stateDir, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}
let driver: Awaited<ReturnType<typeof served>>;
testDriver("loop", {
  start: async () => {
    driver = await served();
    return { endpoint: driver.endpoint, sizeBytes: 8n * 1024n * 1024n };
  },
  stop: async () => driver[Symbol.asyncDispose](),
});
