import assert from "node:assert/strict";
import { test } from "node:test";
import { formatReference, parseReference } from "./reference.ts";

const digest = `sha256:${"a".repeat(64)}`;

test("names are completed as docker completes them", () => {
  for (const [text, whole] of [
    ["busybox", "docker.io/library/busybox:latest"],
    ["busybox:1.36", "docker.io/library/busybox:1.36"],
    ["team/app", "docker.io/team/app:latest"],
    ["index.docker.io/busybox", "docker.io/library/busybox:latest"],
    ["registry.k8s.io/pause:3.9", "registry.k8s.io/pause:3.9"],
    ["localhost/app", "localhost/app:latest"],
    ["localhost:5000/app", "localhost:5000/app:latest"],
    ["host:5000/a/b/c:t", "host:5000/a/b/c:t"],
    ["[::1]:5000/app:t", "[::1]:5000/app:t"],
    ["UPPER/app", "UPPER/app:latest"],
    [`app@${digest}`, `docker.io/library/app@${digest}`],
    [`app:t@${digest}`, `docker.io/library/app:t@${digest}`],
    ["a__b--c/d.e", "docker.io/a__b--c/d.e:latest"],
  ] as const) {
    assert.equal(formatReference(parseReference(text)), whole);
  }
});

test("what is no name is refused, with the reason", () => {
  for (const [text, why] of [
    ["", /is empty/],
    ["Busybox", /lower case/],
    ["a".repeat(64), /is an id/],
    ["app:", /is not a tag/],
    ["app:ta g", /is not a tag/],
    ["app@sha256:123", /64 hex digits/],
    ["app@md5:d41d8cd98f00b204e9800998ecf8427e", /64 hex digits/],
    ["-a/b", /not a repository/],
    ["a//b", /not a repository/],
    ["host.com/../x", /not a repository/],
    ["ho_st:5000/app", /not a registry's host/],
    [`x/${"a".repeat(300)}`, /255/],
    ["https://host/app", /./],
  ] as const) {
    assert.throws(() => parseReference(text), { code: "invalid", message: why }, text);
  }
});
