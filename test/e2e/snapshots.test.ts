import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { noKubectl } from "@tripod/testing";
import { TestNode } from "./node.ts";

const examples = join(import.meta.dirname, "../../examples");
const at = (file: string): string => join(examples, "snapshots", file);
const skip = noKubectl ?? false;
let node: TestNode;

before(async () => {
  if (skip) return;
  node = await TestNode.start();
  await node.kubectl(["apply", "-f", join(examples, "quickstart")]);
  await node.kubectl(["wait", "--for=condition=Ready", "pod/web", "--timeout=60s"]);
});
after(async () => {
  await node?.[Symbol.asyncDispose]();
});

const write = (text: string) =>
  node.kubectl(["exec", "web", "-c", "writer", "--", "sh", "-c", `echo ${text} >/site/note.txt`]);
const isReady = "--for=jsonpath={.status.readyToUse}=true";

test("a snapshot keeps what a claim held, and Pods read volumes made of it and of the claim", { skip }, async () => {
  await write("before");
  await node.kubectl(["apply", "-f", at("class.yaml"), "-f", at("snapshot.yaml")]);
  await node.kubectl(["wait", isReady, "vs/site", "--timeout=60s"]);
  assert.match(await node.text("get", "vs"), /^site +true +site +64Mi +quickstart +snapcontent-\S+ +\d+s +\d+s$/m);
  await write("after");
  await node.kubectl(["apply", "-f", at("copies.yaml")]);
  await node.kubectl(["wait", "--for=condition=Ready", "pod/reader", "--timeout=60s"]);
  assert.equal(await node.text("exec", "reader", "--", "cat", "/restored/note.txt"), "before");
  assert.equal(await node.text("exec", "reader", "--", "cat", "/cloned/note.txt"), "after");
  assert.match(await node.text("describe", "vs", "site"), /CreatingSnapshot[^]*SnapshotCreated[^]*SnapshotReady/);
});

test("a group is taken at once, and goes at once", { skip }, async () => {
  await node.kubectl(["label", "pvc", "site", "restored", "group=quickstart"]);
  await node.kubectl(["apply", "-f", at("group.yaml")]);
  await node.kubectl(["wait", isReady, "vgs/together", "--timeout=60s"]);
  const members = await node.text("get", "vs", "-o", "jsonpath={.items[*].status.volumeGroupSnapshotName}");
  assert.equal(members, "together together");
  await node.kubectl(["delete", "vgs", "together", "--timeout=60s"]);
  await node.kubectl(["delete", "vs", "site", "--timeout=60s"]);
  await node.kubectl(["wait", "--for=delete", "vs", "--all", "--timeout=60s"]);
  await node.kubectl(["wait", "--for=delete", "vsc", "--all", "--timeout=60s"]);
});
