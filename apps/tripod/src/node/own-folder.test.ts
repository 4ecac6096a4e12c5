import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { isTripodError, layoutOf } from "@tripod/base";
import { requireOwnFolder } from "./own-folder.ts";

const dir = mkdtempSync("/tmp/tripod-own-");
after(() => rmSync(dir, { recursive: true }));

const refused = (name: string) =>
  assert.throws(
    () => requireOwnFolder(layoutOf(join(dir, name)), "down"),
    (error) => isTripodError(error, "failed-precondition") && error.message.includes("--root"),
  );

test("a folder that is not there, an empty one and an instance's own are taken", () => {
  const layout = layoutOf(join(dir, "own"));
  requireOwnFolder(layout, "down");
  mkdirSync(layout.libDir, { recursive: true });
  requireOwnFolder(layout, "down");
  for (const path of [layout.contentDir, layout.recordsDir, layout.pkiDir, layout.cniCacheDir, layout.sandboxesDir])
    mkdirSync(path, { recursive: true });
  for (const name of ["lock", "pod-cidr", "apiserver-port", ".pod-cidr.1f2e.tmp"])
    writeFileSync(join(layout.libDir, name), "");
  requireOwnFolder(layout, "down");
});

test("a folder in which a driver registers itself before there is a node is taken", () => {
  const layout = layoutOf(join(dir, "early"));
  mkdirSync(join(layout.kubeletDir, "plugins_registry"), { recursive: true });
  requireOwnFolder(layout, "down");
  mkdirSync(join(layout.kubeletDir, "pods"));
  refused("early");
});

test("a folder in which others live is refused: what is in it would be removed", () => {
  mkdirSync(join(dir, "usr/lib/x86_64-linux-gnu"), { recursive: true });
  refused("usr");
  mkdirSync(join(dir, "slash/run/systemd"), { recursive: true });
  refused("slash");
  mkdirSync(join(dir, "var-lib/kubelet/pods"), { recursive: true });
  refused("var-lib");
});
