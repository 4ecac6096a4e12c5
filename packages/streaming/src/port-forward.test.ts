import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { type AddressInfo, createServer, type Server } from "node:net";
import type { Duplex } from "node:stream";
import { after, before, test } from "node:test";
import { isTripodError, silentLogger } from "@tripod/base";
import {
  type PortForwardClient,
  portForwardOverChannels,
  portForwardOverSpdy,
  portForwardOverWebSocket,
} from "./client/port-forward.ts";
import type { StreamingTarget } from "./client/upgrade.ts";
import { StreamingServer } from "./server.ts";
import { childProcessHandlers } from "./testing/child-process-handlers.ts";

let server: StreamingServer;
let echo: Server;
let echoPort: number;
before(async () => {
  server = await StreamingServer.start({ handlers: childProcessHandlers, log: silentLogger });
  echo = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => socket.destroy());
    socket.pipe(socket);
  });
  await new Promise<void>((resolve) => echo.listen(0, "127.0.0.1", resolve));
  echoPort = (echo.address() as AddressInfo).port; // it listens on TCP
});
after(async () => {
  await server.close();
  await new Promise<void>((resolve) => echo.close(() => resolve()));
});

async function echoed(connection: Duplex, data: Buffer): Promise<Buffer> {
  connection.end(data);
  const chunks: Buffer[] = [];
  for await (const chunk of connection) chunks.push(chunk as Buffer); // no encoding is set
  return Buffer.concat(chunks);
}

const urlOf = (...port: number[]): string => server.urlForPortForward({ podSandboxId: "s", port });

const clients: { name: string; open: (target: StreamingTarget) => Promise<PortForwardClient> }[] = [
  { name: "SPDY", open: portForwardOverSpdy },
  { name: "SPDY inside WebSocket", open: portForwardOverWebSocket },
];
for (const { name, open } of clients) {
  test(`${name}: many connections over one session carry megabytes both ways`, async () => {
    await using client = await open({ url: urlOf() });
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        const data = randomBytes(1024 * 1024 + 3);
        assert.ok((await echoed(await client.connect(echoPort), data)).equals(data));
      }),
    );
  });

  test(`${name}: a port on which nobody listens is an error of that connection alone`, async () => {
    await using client = await open({ url: urlOf() });
    const refused = await client.connect(1);
    await assert.rejects(echoed(refused, Buffer.from("x")), /forward port 1: connect/);
    assert.equal((await echoed(await client.connect(echoPort), Buffer.from("y"))).toString(), "y");
  });

  test(`${name}: ports out of range are refused`, async () => {
    await using client = await open({ url: urlOf() });
    for (const port of [0, 65536, 1.5])
      await assert.rejects(client.connect(port), (error) => isTripodError(error, "unavailable"));
  });
}

test("WebSocket channels: each announced port has a connection", async () => {
  const { connections, close } = await portForwardOverChannels({ url: urlOf(echoPort, echoPort) }, [
    echoPort,
    echoPort,
  ]);
  const data = randomBytes(300_000);
  for (const connection of connections) {
    connection.write(data);
    const chunks: Buffer[] = [];
    for (let size = 0; size < data.length; ) {
      const chunk: unknown = connection.read();
      if (Buffer.isBuffer(chunk)) {
        chunks.push(chunk);
        size += chunk.length;
      } else await new Promise((resolve) => connection.once("readable", resolve));
    }
    assert.ok(Buffer.concat(chunks).equals(data));
  }
  close();
});

test("WebSocket channels: a port on which nobody listens is told on its error channel", async () => {
  const { connections } = await portForwardOverChannels({ url: urlOf(1) }, [1]);
  await assert.rejects(echoed(connections[0] as Duplex, Buffer.from("x")), /forward port 1: connect/); // one port was asked for
});
