import assert from "node:assert/strict";
import { test } from "node:test";
import { parseSeccompProfile } from "./parse-profile.ts";

const subject = { capabilities: ["CAP_CHOWN", "CAP_BPF"], arch: "x64", kernel: "6.1.0-18-amd64" };
const parse = (value: unknown) => parseSeccompProfile(value, "p.json", subject);
const allow = { defaultAction: "SCMP_ACT_ALLOW" };

const wrong: readonly [unknown, RegExp, string][] = [
  [[], /p\.json: .*defaultAction/, "a list is no profile"],
  [null, /p\.json: /, "nothing is no profile"],
  [{}, /defaultAction/, "the default action is required"],
  [{ defaultAction: "ALLOW" }, /defaultAction: there is no action ALLOW/, "actions have a prefix"],
  [
    { ...allow, syscalls: [{ names: ["read"], action: "SCMP_ACT_MAYBE" }] },
    /syscalls\.0\.action: .*MAYBE/,
    "an action",
  ],
  [{ ...allow, syscalls: [{ names: [], action: "SCMP_ACT_LOG" }] }, /syscalls\.0: it names no/, "a rule about nothing"],
  [{ ...allow, syscalls: "read" }, /syscalls/, "rules are a list"],
  [{ ...allow, architectures: ["amd64"] }, /architectures\.0/, "architectures have a prefix"],
  [{ ...allow, flags: ["TSYNC"] }, /flags\.0/, "flags have a prefix"],
  [
    { ...allow, syscalls: [{ names: ["a"], action: "SCMP_ACT_LOG", args: [{ index: 0, value: 1, op: "==" }] }] },
    /syscalls\.0\.args\.0\.op: there is no operator ==/,
    "operators have names",
  ],
  [
    {
      ...allow,
      syscalls: [{ names: ["a"], action: "SCMP_ACT_LOG", args: [{ index: 6, value: 1, op: "SCMP_CMP_EQ" }] }],
    },
    /args\.0\.index/,
    "system calls have six arguments",
  ],
  [
    {
      ...allow,
      syscalls: [{ names: ["a"], action: "SCMP_ACT_LOG", args: [{ index: 0, value: 2 ** 60, op: "SCMP_CMP_EQ" }] }],
    },
    /args\.0\.value/,
    "a number that JSON has rounded",
  ],
];
for (const [value, why, what] of wrong) {
  test(`parseSeccompProfile refuses: ${what}`, () => {
    assert.throws(() => parse(value), why);
  });
}

test("Docker's conditions are decided for the container and the machine, and its map gives the architectures", () => {
  const rule = (name: string, more: object) => ({ names: [name], action: "SCMP_ACT_ALLOW", args: [], ...more });
  const profile = parse({
    defaultAction: "SCMP_ACT_ERRNO",
    defaultErrnoRet: 1,
    archMap: [{ architecture: "SCMP_ARCH_X86_64", subArchitectures: ["SCMP_ARCH_X86"] }],
    syscalls: [
      rule("bpf", { includes: { caps: ["CAP_BPF"] } }),
      rule("mount", { includes: { caps: ["CAP_SYS_ADMIN"] } }),
      rule("clone", { excludes: { caps: ["CAP_SYS_ADMIN"], arches: ["s390"] } }),
      rule("bind", { excludes: { caps: ["CAP_CHOWN"] } }),
      rule("ptrace", { includes: { minKernel: "4.8" } }),
      rule("later", { includes: { minKernel: "6.2" } }),
      rule("modify_ldt", { includes: { arches: ["amd64", "x32"] } }),
      rule("breakpoint", { includes: { arches: ["arm64"] } }),
      { name: "old", action: "SCMP_ACT_ERRNO", errnoRet: 38, args: null, comment: "as Docker once wrote" },
    ],
  });
  assert.deepEqual(
    profile.syscalls.flatMap(({ names }) => names),
    ["bpf", "clone", "ptrace", "modify_ldt", "old"],
  );
  assert.deepEqual(profile.architectures, ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]);
  assert.deepEqual(profile.syscalls.at(-1), { names: ["old"], action: "SCMP_ACT_ERRNO", errnoRet: 38 });
});
