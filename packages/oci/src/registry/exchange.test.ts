import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { Exchange, type ExchangeRequest, readBody } from "./exchange.ts";
import { isPassingError } from "./retry.ts";

test("a server that falls silent, before its answer or within it, is given up, also on a kept-alive connection", async () => {
  const server = createServer((request, response) => {
    if (request.url === "/good") response.end("good");
    if (request.url === "/half") response.writeHead(200, { "content-length": "10" }).write("half");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo; // a TCP server's address
  const at = (path: string): ExchangeRequest => ({
    method: "GET",
    url: new URL(`http://127.0.0.1:${port}${path}`),
    headers: {},
  });
  try {
    using exchange = new Exchange({}, { idleMs: 150 });
    const good = await exchange.send({ ...at("/good") });
    assert.equal((await readBody(good.body, 100, "t")).toString(), "good");
    const half = await exchange.send({ ...at("/half") });
    await assert.rejects(readBody(half.body, 100, "t"), isPassingError);
    await assert.rejects(exchange.send(at("/silent")), { code: "timeout" });
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});
