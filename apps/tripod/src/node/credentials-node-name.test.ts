import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { openPki } from "@tripod/apiserver";
import { isTripodError, layoutOf } from "@tripod/base";
import { nodeNameFor } from "./credentials-node-name.ts";

const dir = mkdtempSync("/tmp/tripod-credentials-");
after(() => rmSync(dir, { recursive: true }));

/** A kubeconfig whose user is the one given. */
function kubeconfig(name: string, user: Record<string, string>): string {
  const path = join(dir, name);
  const named = (key: string, value: object) => [{ name: "x", [key]: value }];
  const config = {
    clusters: named("cluster", { server: "https://127.0.0.1:1" }),
    users: named("user", user),
    contexts: named("context", { cluster: "x", user: "x" }),
    "current-context": "x",
  };
  writeFileSync(path, JSON.stringify(config)); // JSON is YAML
  return path;
}

let ofNode: string;
let ofPerson: string;
before(async () => {
  const pki = await openPki(layoutOf(dir));
  const credentials = async (commonName: string) => {
    const { certificate: cert } = await pki.issue({
      commonName,
      organizations: ["system:nodes"],
      sans: [],
      usage: "client",
    });
    return { "client-certificate-data": Buffer.from(cert).toString("base64") };
  };
  ofNode = kubeconfig("node", await credentials("system:node:edge-1"));
  ofPerson = kubeconfig("person", await credentials("someone"));
});

test("a node's credentials name it", () => {
  assert.equal(nodeNameFor({ kubeconfig: ofNode, wanted: undefined, otherwise: "host" }), "edge-1");
  assert.equal(nodeNameFor({ kubeconfig: ofNode, wanted: "edge-1", otherwise: "host" }), "edge-1");
});

test("another name than the credentials' is refused before anything is registered", () => {
  assert.throws(
    () => nodeNameFor({ kubeconfig: ofNode, wanted: "w1", otherwise: "host" }),
    (error) => isTripodError(error, "invalid") && error.message.includes("credentials of node edge-1"),
  );
});

test("credentials that are no node's leave the name to the user, else to the host", () => {
  const withToken = kubeconfig("token", { token: "t" });
  for (const file of [ofPerson, withToken]) {
    assert.equal(nodeNameFor({ kubeconfig: file, wanted: "w1", otherwise: "host" }), "w1");
    assert.equal(nodeNameFor({ kubeconfig: file, wanted: undefined, otherwise: "host" }), "host");
  }
});
