import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { redact } from "./redact.ts";
import { readSpans } from "./span-file.ts";
import { Tracing } from "./tracing.ts";
import { currentTraceparent, withSpan, withSpanSync, withTraceparent } from "./with-span.ts";

const dir = mkdtempSync("/tmp/tripod-trace-");
after(() => rmSync(dir, { recursive: true }));

test("spans nest, cross a traceparent, carry errors, and are on disk after the tracer closed", async () => {
  {
    await using tracing = Tracing.start({ dir, ringSize: 3 });
    let header: string | undefined;
    await withSpan("outer", { "pod.name": "web" }, async (span) => {
      header = currentTraceparent();
      withSpanSync("inner", { request: { secrets: { a: "b" } } }, () => {});
      span.set({ done: true });
    });
    await withTraceparent(header, () => withSpan("remote", {}, async () => {}));
    await assert.rejects(
      withSpan("failing", {}, async () => Promise.reject(new Error("why not"))),
      /why not/,
    );
    assert.deepEqual(
      tracing.spans().map((span) => span.name),
      ["outer", "remote", "failing"],
    );
  }
  appendFileSync(join(dir, "spans.jsonl"), '{"cut short by a cr');
  const spans = await Array.fromAsync(readSpans(dir));
  const byName = new Map(spans.map((span) => [span.name, span]));
  const outer = byName.get("outer");
  assert.equal(byName.get("inner")?.parentSpanId, outer?.spanId);
  assert.equal(byName.get("remote")?.parentSpanId, outer?.spanId);
  assert.equal(byName.get("remote")?.traceId, outer?.traceId);
  assert.equal(byName.get("failing")?.error, "why not");
  assert.equal(byName.get("inner")?.attributes.request, '{"secrets":"[redacted]"}');
  assert.equal(outer?.attributes.done, true);
});

const rows: [what: string, value: unknown, want: unknown][] = [
  [
    "CSI secrets",
    { nodePublishSecrets: { password: "x" }, volumeId: "v" },
    { nodePublishSecrets: "[redacted]", volumeId: "v" },
  ],
  [
    "registry credentials",
    { auth: { username: "u" }, identityToken: "t" },
    { auth: "[redacted]", identityToken: "[redacted]" },
  ],
  ["bytes", { data: new Uint8Array(4) }, { data: "(4 bytes)" }],
  ["bigints and protobuf's own keys", { $typeName: "x", size: 5n }, { size: "5" }],
  ["an empty token is no secret", { token: "" }, { token: "" }],
  [
    "a pod's tokens for a CSI driver",
    { volumeContext: { "csi.storage.k8s.io/serviceAccount.tokens": '{"":{"token":"x"}}', size: "1" } },
    { volumeContext: { "csi.storage.k8s.io/serviceAccount.tokens": "[redacted]", size: "1" } },
  ],
  [
    "the words of a container, into which Secrets may have been expanded",
    { envs: [{ key: "K", value: new Uint8Array(2) }], command: ["sh"], args: ["-p", "hunter2"] },
    { envs: [{ key: "K", value: "(2 bytes)" }], command: "(1 words)", args: "(2 words)" },
  ],
];
for (const [what, value, want] of rows) test(`redact: ${what}`, () => assert.deepEqual(redact(value), want));

test("redact cuts what is too long or too deep", () => {
  assert.ok(String(redact("x".repeat(10_000))).length < 5000);
  let deep: unknown = 1;
  for (let i = 0; i < 1000; i += 1) deep = [deep];
  assert.ok(JSON.stringify(redact(deep)).length < 100);
});
