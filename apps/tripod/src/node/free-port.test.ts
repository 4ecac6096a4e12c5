import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { after, test } from "node:test";
import { isTripodError } from "@tripod/base";
import { choosePort, probePort } from "./free-port.ts";

const dir = mkdtempSync("/tmp/tripod-port-");
after(() => rmSync(dir, { recursive: true }));

async function occupied(): Promise<{ port: number } & AsyncDisposable> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null);
  return { port: address.port, [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())) };
}

test("choosePort keeps its choice, and says so when that one is taken later", async () => {
  const free = (await probePort(0)) ?? 0;
  const choice = { wanted: undefined, preferred: free, file: join(dir, "a"), what: "API server", remedy: "use --port" };
  assert.equal(await choosePort(choice), free);
  assert.equal(await choosePort({ ...choice, preferred: 1 }), free);
  const holder = createServer();
  await new Promise<void>((resolve) => holder.listen(free, "127.0.0.1", resolve));
  await assert.rejects(
    choosePort(choice),
    (error) => isTripodError(error, "already-exists") && error.message.includes(`127.0.0.1:${free}`),
  );
  await new Promise((resolve) => holder.close(resolve));
});

test("choosePort passes over a taken preferred port, but not over a taken one that was asked for", async () => {
  await using taken = await occupied();
  const choice = {
    wanted: undefined,
    preferred: taken.port,
    file: join(dir, "b"),
    what: "API server",
    remedy: "use --port",
  };
  assert.notEqual(await choosePort(choice), taken.port);
  await assert.rejects(choosePort({ ...choice, wanted: taken.port }), (error) =>
    isTripodError(error, "already-exists"),
  );
});
