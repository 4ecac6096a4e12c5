import assert from "node:assert/strict";
import { test } from "node:test";
import { parseReference } from "../reference.ts";
import { identityProblem, parseIdentityRule } from "./identity-rule.ts";
import { requirementsFor } from "./policy-scope.ts";

test("the most specific scope of the policy counts alone", () => {
  const reject = (why: string) => [{ kind: "reject" as const, why }];
  const scopes = [
    "",
    "docker.io",
    "docker.io/library",
    "docker.io/library/busybox",
    "docker.io/library/busybox:1",
    "*.example.com",
    "*.com",
    "r.example.com:5000/team",
  ];
  const policy = {
    file: "policy.json",
    byDefault: reject("default"),
    docker: new Map(scopes.map((scope) => [scope, reject(scope)])),
  };
  for (const [name, scope] of [
    ["busybox:1", "docker.io/library/busybox:1"],
    ["busybox", "docker.io/library/busybox"],
    ["alpine", "docker.io/library"],
    ["team/app", "docker.io"],
    ["docker.io/libraryx/app", "docker.io"],
    ["a.b.example.com/x", "*.example.com"],
    ["example.com/x", "*.com"],
    ["r.example.com:5000/team/app/deep", "r.example.com:5000/team"],
    ["r.example.com:5000/teams/app", ""],
    ["localhost/x", ""],
  ] as const) {
    assert.deepEqual(requirementsFor(policy, parseReference(name)).requirements, reject(scope), name);
  }
  const without = { ...policy, docker: new Map() };
  assert.deepEqual(requirementsFor(without, parseReference("busybox")).requirements, reject("default"));
});

test("which image a signature is about is matched as the policy says", () => {
  const digest = `@sha256:${"a".repeat(64)}`;
  const exact = { type: "exactReference", dockerReference: "busybox:1" };
  const repository = { type: "exactRepository", dockerRepository: "busybox" };
  const remap = { type: "remapIdentity", prefix: "mirror.example/hub", signedPrefix: "docker.io" };
  for (const [rule, asked, about, fits] of [
    [undefined, "busybox:1", "docker.io/library/busybox:1", true],
    [undefined, "busybox:1", "docker.io/library/busybox:2", false],
    [undefined, "busybox", "docker.io/library/busybox:latest", true],
    [undefined, "busybox", "docker.io/library/busybox", false],
    [undefined, `busybox${digest}`, "docker.io/library/busybox:2", true],
    [undefined, `busybox${digest}`, "docker.io/library/alpine:2", false],
    [{ type: "matchExact" }, `busybox${digest}`, "docker.io/library/busybox:2", false],
    [{ type: "matchExact" }, "busybox:1", "docker.io/library/busybox:1", true],
    [{ type: "matchRepository" }, "busybox:1", "docker.io/library/busybox", true],
    [{ type: "matchRepository" }, "busybox:1", "docker.io/library/busybox:9", true],
    [{ type: "matchRepository" }, "busybox:1", "docker.io/library/other:1", false],
    [{ type: "matchRepository" }, "busybox:1", "NOT A NAME", false],
    [exact, "mirror.example/b:7", "docker.io/library/busybox:1", true],
    [exact, "mirror.example/b:7", "docker.io/library/busybox:2", false],
    [repository, "mirror.example/b:7", "docker.io/library/busybox:2", true],
    [repository, "mirror.example/b:7", "docker.io/library/alpine:2", false],
    [remap, "mirror.example/hub/library/busybox:1", "docker.io/library/busybox:1", true],
    [remap, "mirror.example/hub/library/busybox:1", "mirror.example/hub/library/busybox:1", false],
    [remap, "mirror.example/hubs/busybox:1", "mirror.example/hubs/busybox:1", true],
  ] as const) {
    const problem = identityProblem(parseIdentityRule(rule, "rule"), parseReference(asked), about);
    assert.equal(problem === undefined, fits, `${JSON.stringify(rule)} ${asked} ${about}: ${problem}`);
  }
});
