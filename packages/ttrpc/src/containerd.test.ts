import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { test } from "node:test";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import { Events } from "@tripod/api/containerd-events";
import { RuntimeService } from "@tripod/api/cri";
import { isTripodError } from "@tripod/base";
import { interop, peer, startContainerd, tempRoot } from "@tripod/testing";
import { connectTtrpc } from "./client.ts";

test(`${interop({ interface: "ttrpc", caller: "Tripod", callee: peer("containerd") })}: events are forwarded, errors come back`, {
  timeout: 60_000,
}, async () => {
  await using root = tempRoot();
  const dir = join(root.path, "c");
  const cniConfDir = join(dir, "net.d");
  mkdirSync(cniConfDir, { recursive: true });
  await using containerd = await startContainerd({ dir, cniConfDir, sandboxImage: "localhost/none" });
  using client = await connectTtrpc({ socket: `${containerd.socket}.ttrpc` });
  const events = client.client(Events);
  // Field 1 of it, name, is "hello": a type that the watcher knows and prints.
  const event = { typeUrl: "containerd.events.NamespaceCreate", value: Buffer.from("\n\x05hello") };
  const envelope = { timestamp: timestampNow(), namespace: "tripod", topic: "/tripod/hello", event };

  const watcher = spawn("ctr", ["--address", containerd.socket, "--namespace", "tripod", "events"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    let seen = "";
    const watching = (async () => {
      for await (const line of createInterface(watcher.stdout)) {
        seen = line;
        return;
      }
    })();
    while (seen === "") {
      await events.forward({ envelope }, { timeoutMs: 5000 }); // the watcher does not tell when it has subscribed
      await Promise.race([watching, delay(50)]);
    }
    assert.match(seen, /tripod \/tripod\/hello \{"name":"hello"\}/);
  } finally {
    watcher.kill();
  }

  await assert.rejects(events.forward({ envelope: { ...envelope, topic: "no slash" } }), (error) =>
    isTripodError(error, "invalid"),
  );
  await assert.rejects(client.client(RuntimeService).version({}), (error) => isTripodError(error, "unimplemented"));
  const many = Array.from({ length: 200 }, () => events.forward({ envelope }));
  assert.equal((await Promise.all(many)).length, 200);
});
