import assert from "node:assert/strict";
import { test } from "node:test";
import type { Secret } from "@tripod/api/kubernetes";
import { pullPolicyOf } from "./pull-policy.ts";
import { credentialsFor, registryAndPath } from "./registry-credentials.ts";

const secret = (auths: object): Secret => ({
  metadata: { name: "s" },
  data: { ".dockerconfigjson": Buffer.from(JSON.stringify({ auths })).toString("base64") },
});
const auth = (text: string): string => Buffer.from(text).toString("base64");

test("registryAndPath", () => {
  const rows: readonly [image: string, registry: string, path: string][] = [
    ["busybox", "docker.io", "library/busybox"],
    ["me/app:1", "docker.io", "me/app"],
    ["localhost/app", "localhost", "app"],
    ["127.0.0.1:5000/a/b:tag", "127.0.0.1:5000", "a/b"],
    ["r.io/x@sha256:00", "r.io", "x"],
  ];
  for (const [image, registry, path] of rows) assert.deepEqual(registryAndPath(image), { registry, path }, image);
});

test("credentials are picked by host and path, the most specific first", () => {
  const secrets = [
    secret({
      "https://index.docker.io/v1/": { auth: auth("hub:pw") },
      "r.io": { username: "all", password: "p1" },
      "r.io/team": { auth: auth("team:p:2") },
      "*.example.org": { auth: auth("wild:x") },
    }),
  ];
  assert.deepEqual(
    credentialsFor("r.io/team/app", secrets).map(({ username, password }) => `${username}/${password}`),
    ["team/p:2", "all/p1"],
  );
  assert.deepEqual(
    credentialsFor("r.io/teamwork", secrets).map(({ username }) => username),
    ["all"],
  );
  assert.equal(credentialsFor("busybox", secrets)[0]?.username, "hub");
  assert.equal(credentialsFor("a.example.org/x", secrets)[0]?.username, "wild");
  assert.deepEqual(credentialsFor("a.b.example.org/x", secrets), []);
  assert.deepEqual(credentialsFor("r.io/x", [{ metadata: {}, data: { ".dockerconfigjson": "!!!" } }]), []);
});

test("without a policy a moving tag is pulled always", () => {
  assert.equal(pullPolicyOf({ image: "a" }), "Always");
  assert.equal(pullPolicyOf({ image: "r:5000/a" }), "Always");
  assert.equal(pullPolicyOf({ image: "a:1" }), "IfNotPresent");
  assert.equal(pullPolicyOf({ image: "a@sha256:00" }), "IfNotPresent");
  assert.equal(pullPolicyOf({ image: "a", imagePullPolicy: "Never" }), "Never");
});
