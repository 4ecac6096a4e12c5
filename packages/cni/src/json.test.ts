import assert from "node:assert/strict";
import { test } from "node:test";
import { Fields } from "./json.ts";

test("a field is found whatever the case of its key, and by the exact key first", () => {
  const fields = new Fields({ HostPort: 8080, hostIP: "a", HOSTIP: "b", none: null }, "mapping");
  assert.equal(fields.optionalInteger("hostPort", 0, 65_535), 8080);
  assert.equal(fields.string("hostIP", ""), "a");
  assert.equal(fields.has("None"), false);
  assert.equal(fields.has("constructor"), false);
  assert.throws(() => fields.string("hostport", ""), { message: /mapping: "hostport" is 8080, which is not a string/ });
});
