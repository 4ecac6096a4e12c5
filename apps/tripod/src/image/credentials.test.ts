import assert from "node:assert/strict";
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { tempRoot } from "@tripod/testing";
import { credentialsOf } from "./credentials.ts";

const root = tempRoot();
const { PATH: path = "", DOCKER_CONFIG: config } = process.env;
before(() => {
  process.env.PATH = `${root.path}:${path}`;
  process.env.DOCKER_CONFIG = root.path;
});
after(async () => {
  process.env.PATH = path;
  if (config === undefined) delete process.env.DOCKER_CONFIG;
  else process.env.DOCKER_CONFIG = config;
  await root[Symbol.asyncDispose]();
});

const configure = (value: unknown): void => writeFileSync(join(root.path, "config.json"), JSON.stringify(value));

/** A credential helper that notes what it is asked, and runs these lines of shell. */
function helper(name: string, lines: string): void {
  const file = join(root.path, `docker-credential-${name}`);
  writeFileSync(file, `#!/bin/sh\n{ echo "$@"; cat; } >"${root.path}/asked"\n${lines}\n`);
  chmodSync(file, 0o755);
}
const asked = (): string => readFileSync(join(root.path, "asked"), "utf8");

test("docker's configuration gives the login of the image's registry, under the names that it may have there", () => {
  for (const [key, image] of [
    ["https://index.docker.io/v1/", "busybox"],
    ["docker.io", "team/app:1"],
    ["r.example:5000", "r.example:5000/app"],
    ["https://r.example", "r.example/app"],
    ["https://r.example/v2/", "r.example/app"],
  ] as const) {
    configure({ auths: { [key]: { auth: "bWU6cHc=" } } });
    assert.deepEqual(credentialsOf(image, undefined), { auth: "bWU6cHc=" }, key);
    assert.equal(credentialsOf("other.example/app", undefined), undefined);
  }
  configure({ auths: { "r.example": { identitytoken: "T", auth: "bWU6" } } });
  assert.deepEqual(credentialsOf("r.example/app", undefined), { identityToken: "T" });
  assert.deepEqual(credentialsOf("r.example/app", "you:p:w"), { username: "you", password: "p:w" });
  assert.throws(() => credentialsOf("r.example/app", "you"), /--creds: must be USER:PASSWORD, or -/);
});

test("a credential helper is asked: the registry's own first, then the one for all, then what is written down", () => {
  helper("one", `echo '{"ServerURL":"x","Username":"me","Secret":"pw"}'`);
  helper("all", `echo '{"Username":"<token>","Secret":"T"}'`);
  const auths = { "third.example": { auth: "bWU6cHc=" } };
  configure({ auths, credHelpers: { "r.example": "one" }, credsStore: "all" });
  assert.deepEqual(credentialsOf("r.example/app", undefined), { username: "me", password: "pw" });
  assert.equal(asked(), "get\nr.example");
  assert.deepEqual(credentialsOf("busybox", undefined), { identityToken: "T" });
  assert.equal(asked(), "get\nhttps://index.docker.io/v1/");
  helper("all", "echo 'credentials not found in native keychain'; exit 1");
  assert.deepEqual(credentialsOf("third.example/app", undefined), { auth: "bWU6cHc=" });
  assert.equal(credentialsOf("busybox", undefined), undefined);
});

test("a credential helper that does not help is an error that says why, without what it said on its output", () => {
  for (const [name, lines, says] of [
    ["failing", "echo secret; echo 'keychain is locked' >&2; exit 2", /ended with 2: keychain is locked$/],
    ["chatty", 'echo \'{"Secret":"half of a sec\'', /answered with something else than a login$/],
    ["wrong", "echo '[]'", /answered with something else than a login$/],
    [
      "not-there",
      undefined,
      /docker-credential-not-there is not on the PATH; install it, or take it out of that file$/,
    ],
    ["../x", undefined, /no name of a program$/],
  ] as const) {
    if (lines !== undefined) helper(name, lines);
    configure({ credHelpers: { "r.example": name } });
    assert.throws(() => credentialsOf("r.example/app", undefined), { message: says });
  }
});
