import assert from "node:assert/strict";
import { test } from "node:test";
import type { PersistentVolumeClaim } from "@tripod/api/kubernetes";
import { decideModification, wantsModification } from "./decide-modification.ts";

interface Row {
  readonly why: string;
  readonly wish?: string;
  readonly current?: string;
  readonly status?: "Pending" | "InProgress" | "Infeasible";
  readonly target?: string;
  readonly hasFailed?: boolean;
  readonly condition?: string;
  readonly want: string;
}

const claimOf = ({ wish, current, status, target, condition }: Omit<Row, "why" | "want">): PersistentVolumeClaim => ({
  metadata: { name: "c", uid: "u" },
  spec: wish === undefined ? {} : { volumeAttributesClassName: wish },
  status: {
    phase: "Bound",
    ...(current === undefined ? {} : { currentVolumeAttributesClassName: current }),
    ...(status === undefined
      ? {}
      : {
          modifyVolumeStatus: { status, ...(target === undefined ? {} : { targetVolumeAttributesClassName: target }) },
        }),
    ...(condition === undefined ? {} : { conditions: [{ type: condition, status: "True" }] }),
  },
});

const rows: readonly Row[] = [
  { why: "a first wish", wish: "gold", want: "modify gold, new" },
  { why: "another wish", wish: "gold", current: "iron", want: "modify gold, new" },
  { why: "a wish for what is not there", wish: "lead", want: "wait lead, new" },
  { why: "what waited and is there now", wish: "gold", status: "Pending", want: "modify gold, new" },
  { why: "a try that was cut short", wish: "gold", status: "InProgress", target: "gold", want: "modify gold" },
  {
    why: "another wish while the driver may be at work",
    wish: "gold",
    status: "InProgress",
    target: "iron",
    want: "modify iron",
  },
  {
    why: "another wish when the driver has certainly failed",
    wish: "gold",
    status: "InProgress",
    target: "iron",
    hasFailed: true,
    want: "modify gold, new",
  },
  { why: "another wish after a refusal", wish: "gold", status: "Infeasible", target: "iron", want: "modify gold, new" },
  { why: "a wish taken back under way", status: "InProgress", target: "iron", hasFailed: true, want: "modify iron" },
  {
    why: "a refused wish taken back",
    status: "Infeasible",
    target: "iron",
    condition: "ModifyingVolume",
    want: "cancel",
  },
  { why: "a wish taken back before", status: "Infeasible", target: "iron", want: "none" },
];
for (const { why, want, hasFailed = false, ...parts } of rows)
  test(`attributes: ${why}`, () => {
    const decision = decideModification(claimOf(parts), { hasFailed, isThere: (name) => name !== "lead" });
    const said = "target" in decision ? ` ${decision.target}${decision.isNew ? ", new" : ""}` : "";
    assert.equal(`${decision.kind}${said}`, want);
  });

test("only a bound claim whose volume is not as wished wants a change", () => {
  const volume = { metadata: { name: "v" }, spec: { claimRef: { uid: "u" } } };
  assert.ok(wantsModification(claimOf({ wish: "gold" }), volume));
  assert.ok(!wantsModification(claimOf({ wish: "gold", current: "gold" }), volume));
  assert.ok(wantsModification(claimOf({ wish: "gold", current: "gold", status: "InProgress" }), volume));
  assert.ok(!wantsModification(claimOf({ wish: "gold" }), { ...volume, spec: { claimRef: { uid: "other" } } }));
  assert.ok(!wantsModification({ ...claimOf({ wish: "gold" }), status: { phase: "Pending" } }, volume));
});
