import assert from "node:assert/strict";
import { test } from "node:test";
import { formatFieldSelector, matchesFields, parseFieldSelector } from "./field-selector.ts";
import { formatLabelSelector, labelRequirements, matchesLabels, parseLabelSelector } from "./label-selector.ts";

const labels = { app: "web", tier: "front", "example.com/rank": "7", empty: "" };
const rows: readonly (readonly [selector: string, matches: boolean])[] = [
  ["", true],
  ["app=web", true],
  ["app==web", true],
  ["app=db", false],
  ["app!=db", true],
  ["missing!=db", true],
  ["app!=web", false],
  ["app in (db, web)", true],
  ["app notin (db)", true],
  ["missing notin (db)", true],
  ["missing in (db)", false],
  ["app", true],
  ["missing", false],
  ["!missing", true],
  ["! app", false],
  ["example.com/rank>6", true],
  ["example.com/rank<7", false],
  ["app>1", false],
  ["app = web , tier=front", true],
  ["app=web,tier=back", false],
  ["empty=", true],
  ["empty in (,x)", true],
  ["in in (x)", false],
];
for (const [selector, matches] of rows)
  test(`label selector ${JSON.stringify(selector)} ${matches ? "matches" : "does not match"}`, () => {
    const parsed = parseLabelSelector(selector);
    assert.equal(matchesLabels(parsed, labels), matches);
    assert.equal(matchesLabels(parseLabelSelector(formatLabelSelector(parsed)), labels), matches);
  });

for (const selector of [
  "=a",
  "a b",
  "a in",
  "a in (b",
  "a in b",
  "a=b,",
  ",a",
  "a,,b",
  "a=b=c",
  "-a",
  "a=-b",
  "a>x",
  "x/y/z=1",
  `${"a".repeat(64)}=b`,
  "a notin b)",
  "a=(b)",
])
  test(`label selector ${JSON.stringify(selector)} is refused`, () =>
    assert.throws(() => parseLabelSelector(selector), { code: "invalid" }));

test("the structured selector means the same", () => {
  assert.equal(labelRequirements(undefined), undefined);
  const requirements = labelRequirements({
    matchLabels: { app: "web" },
    matchExpressions: [
      { key: "tier", operator: "In", values: ["front"] },
      { key: "gone", operator: "DoesNotExist" },
      { key: "app", operator: "Exists" },
      { key: "tier", operator: "NotIn", values: ["back"] },
    ],
  });
  assert.equal(matchesLabels(requirements ?? [], labels), true);
  assert.throws(() => labelRequirements({ matchExpressions: [{ key: "a", operator: "In" }] }), { code: "invalid" });
});

test("field selectors compare, with escapes", () => {
  const values = new Map([
    ["metadata.name", "a,b=c\\d"],
    ["spec.nodeName", ""],
  ]);
  const valueOf = (field: string) => values.get(field) ?? "";
  const parsed = parseFieldSelector("metadata.name=a\\,b\\=c\\\\d,spec.nodeName=,status.phase!=Running");
  assert.equal(matchesFields(parsed, valueOf), true);
  assert.deepEqual(parseFieldSelector(formatFieldSelector(parsed)), parsed);
  assert.deepEqual(parseFieldSelector(""), []);
  for (const bad of ["a", "=b", "a=b=c"]) assert.throws(() => parseFieldSelector(bad), { code: "invalid" });
});
