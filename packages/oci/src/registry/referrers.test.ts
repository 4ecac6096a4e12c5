import assert from "node:assert/strict";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import type { Digest } from "../digest.ts";
import { HostSession } from "./host-session.ts";
import { listReferrers } from "./referrers.ts";
import { defaultHost } from "./registry-host.ts";

const subject: Digest = `sha256:${"5".repeat(64)}`;
const index = (...referrers: readonly (readonly [letter: string, artifactType: string])[]): string =>
  JSON.stringify({
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.index.v1+json",
    manifests: referrers.map(([letter, artifactType]) => ({
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      digest: `sha256:${letter.repeat(64)}`,
      size: 3,
      artifactType,
    })),
  });

/** Asks a registry that answers by `answer` for what refers to the subject; gives the first letters of their digests. */
async function ask(
  answer: (path: string, response: ServerResponse) => void,
  artifactType?: string,
): Promise<{ readonly found: string; readonly asked: string[] }> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url ?? "");
    answer(request.url ?? "", response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo; // a TCP server's address
  using session = new HostSession(defaultHost(`127.0.0.1:${port}`), { credentials: { kind: "anonymous" } });
  try {
    const found = await listReferrers(session, { repository: "team/app", digest: subject, artifactType });
    return { found: found.map(({ digest }) => digest[7]).join(""), asked };
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

test("referrers come by the API, over all its pages, filtered where the registry does not do it", async () => {
  const pages = (path: string, response: ServerResponse): void => {
    if (path.includes("last=2")) response.end(index(["c", "sbom"]));
    else
      response
        .setHeader("link", `</v2/team/app/referrers/${subject}?last=2>; rel="next"`)
        .end(index(["a", "sbom"], ["b", "sig"]));
  };
  const all = await ask(pages);
  assert.equal(all.found, "abc");
  assert.deepEqual(all.asked, [`/v2/team/app/referrers/${subject}`, `/v2/team/app/referrers/${subject}?last=2`]);
  const some = await ask(pages, "sbom");
  assert.equal(some.found, "ac");
  assert.match(some.asked[0] ?? "", /\?artifactType=sbom$/);
});

test("a registry without the API keeps them under a tag, or has none", async () => {
  const byTag = await ask((path, response) => {
    if (path === `/v2/team/app/manifests/sha256-${"5".repeat(64)}`) response.end(index(["a", "sbom"], ["b", "sig"]));
    else response.writeHead(404).end();
  }, "sig");
  assert.equal(byTag.found, "b");
  assert.equal((await ask((_path, response) => void response.writeHead(404).end())).found, "");
});

test("pages without an end, and what is no index, are refused", async () => {
  await assert.rejects(
    ask((path, response) => void response.setHeader("link", `<${path}>; rel="next"`).end(index(["a", "x"]))),
    { code: "invalid", message: /more than 20 pages/ },
  );
  await assert.rejects(
    ask(
      (_path, response) =>
        void response.end(`{"schemaVersion":2,"config":{"digest":"${subject}","size":1},"layers":[]}`),
    ),
    { code: "invalid", message: /is not what its media type/ },
  );
});
