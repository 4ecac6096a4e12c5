// `npm run check` and `npm test`: format, lint, types, layers, failpoints, generated code, every test, and that nothing is left behind.
//   --only STEP[,STEP]   just these steps        --files GLOB   just these test files
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join, relative } from "node:path";
import { spec } from "node:test/reporters";
import { run } from "node:test";
import { glob } from "node:fs/promises";
import { parseArgs } from "node:util";
import { messageOf, runCommand } from "@tripod/base";
import {
  buildGoProgram,
  debianPrograms,
  fetchDebianProgram,
  type GoProgram,
  goPrograms,
  sidecarPrograms,
} from "@tripod/testing";
import { InteropMatrix, type TestOutcome } from "./interop-matrix.ts";
import { unarmedFailpoints } from "./failpoints.ts";
import { checkLayers } from "./layers.ts";
import { linkWorkspaces } from "./link-workspaces.ts";
import { leaksSince, leakSnapshot } from "./leaks.ts";
import { writeReadmeExamples } from "./readme-examples.ts";

const top = join(import.meta.dirname, "..");
const bin = (name: string): string => join(top, "node_modules/.bin", name);
process.chdir(top);
linkWorkspaces(top);
process.env.PATH = `${join(top, "node_modules/.bin")}:${process.env.PATH}`;

const { values } = parseArgs({ options: { only: { type: "string" }, files: { type: "string" } } });
const wanted = values.only?.split(",");

/** When a test file counts as hanging, in milliseconds: virtual machines in software and peers built from source take their time. */
const fileTimeoutMs = 1_800_000;

/** Who of us and of others was tested with whom. */
const matrix = new InteropMatrix();

interface Outcome {
  readonly passed: number;
  readonly failed: number;
}

async function command(file: string, args: string[]): Promise<Outcome> {
  const result = await runCommand(file, args, { okExitCodes: "any", timeoutMs: 600_000, env: process.env });
  if (result.exitCode === 0) return { passed: 1, failed: 0 };
  process.stdout.write(Buffer.concat([result.stdout, result.stderr]));
  return { passed: 0, failed: 1 };
}

async function layers(): Promise<Outcome> {
  const problems = checkLayers(top);
  for (const problem of problems) console.log(problem);
  return problems.length === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: problems.length };
}

/** Every place at which a process may be killed is one at which some test kills it. */
async function failpoints(): Promise<Outcome> {
  const unarmed = unarmedFailpoints(top);
  for (const problem of unarmed) console.log(problem);
  return unarmed.length === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: unarmed.length };
}

/** Checks the TypeScript examples of every README against the packages as they are. */
async function examples(): Promise<Outcome> {
  const written = writeReadmeExamples(top);
  try {
    const { passed: compiled } = await command(bin("tsc"), ["-p", written.tsconfig]);
    return compiled === 1 ? { passed: written.count, failed: 0 } : { passed: 0, failed: 1 };
  } finally {
    rmSync(written.dir, { recursive: true });
  }
}

/** Generates the protocols' code afresh and compares it with what is committed. */
async function generated(): Promise<Outcome> {
  const fresh = mkdtempSync("/tmp/tripod-gen-");
  try {
    await runCommand(bin("buf"), ["generate", "--output", fresh], { cwd: join(top, "packages/api"), env: process.env });
    let failed = 0;
    for (const entry of readdirSync(join(fresh, "gen"), { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const path = relative(join(fresh, "gen"), join(entry.parentPath, entry.name));
      if (readFileSync(join(fresh, "gen", path), "utf8") === readFileSync(join(top, "packages/api/gen", path), "utf8"))
        continue;
      console.log(`packages/api/gen/${path} differs from what its .proto generates; run: npm run gen`);
      failed += 1;
    }
    return failed === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed };
  } finally {
    rmSync(fresh, { recursive: true });
  }
}

async function buildAll(wantedPrograms: readonly GoProgram[]): Promise<Outcome> {
  let passed = 0;
  for (const program of wantedPrograms) {
    const built = await buildGoProgram(program);
    if ("path" in built) passed += 1;
    else console.log(built.skip);
  }
  return { passed, failed: 0 };
}

/** Minutes of compiling: only when asked for by name. */
const sidecars = (): Promise<Outcome> => buildAll(Object.values(sidecarPrograms));

/**
 * Builds what others have written in Go and tests run, and fetches what they run of other releases of Debian, so that no test file waits for
 * either; one that cannot be had is skipped there.
 */
async function programs(): Promise<Outcome> {
  let { passed } = await buildAll(Object.values(goPrograms));
  for (const program of Object.values(debianPrograms)) {
    const fetched = await fetchDebianProgram(program);
    if ("path" in fetched) passed += 1;
    else console.log(fetched.skip);
  }
  return { passed, failed: 0 };
}

/** Why a test failed, in at most twelve lines: whoever reads the end of a run's output should not have to look for it. */
function reason(error: Error): string {
  const why = error.cause instanceof Error ? error.cause : error; // the runner wraps what the test threw
  const lines = messageOf(why)
    .split("\n")
    .filter((line) => line.trim() !== "");
  return lines
    .slice(0, 12)
    .map((line) => `    ${line.slice(0, 300)}`)
    .join("\n");
}

interface TestRun {
  readonly passed: number;
  readonly failures: readonly { readonly file: string; readonly text: string }[];
  readonly skips: readonly string[];
}

async function runFiles(files: readonly string[], atOnce: number): Promise<TestRun> {
  let passed = 0;
  const failures: { file: string; text: string }[] = [];
  const skips: string[] = [];
  const stream = run({
    files,
    concurrency: atOnce,
    timeout: fileTimeoutMs,
    execArgv: ["--disable-warning=ExperimentalWarning"],
  });
  const ended = (event: { name: string; nesting: number; details: { type?: string } }, outcome: TestOutcome) =>
    matrix.add({
      name: event.name,
      nesting: event.nesting,
      isSuite: event.details.type === "suite",
      outcome,
    });
  stream.on("test:pass", (event) => {
    ended(event, event.skip === undefined ? "passed" : "skipped");
    // A suite that is skipped has no tests that could tell it.
    if (event.skip !== undefined) skips.push(`${event.name}: ${event.skip === true ? "no reason given" : event.skip}`);
    else if (
      event.details.type !== "suite" &&
      !files.some((file) => event.name === file || event.name === join(top, file))
    )
      passed += 1;
  });
  stream.on("test:fail", (event) => {
    ended(event, "failed");
    const file = relative(top, event.file ?? "");
    if (event.details.type === "suite") {
      // What is written elsewhere, as a contract that many files try, belongs to the file whose suite it failed.
      if (files.includes(file)) for (const each of failures) if (!files.includes(each.file)) each.file = file;
      return;
    }
    failures.push({ file, text: `  ${file}: ${event.name}\n${reason(event.details.error)}` });
  });
  for await (const text of stream.compose(spec)) process.stdout.write(text);
  return { passed, failures, skips };
}

/** Failures in more files than these are no accident of a busy machine. */
const filesRunAgain = 2;

/**
 * Every test file; what fails on the busy machine is run once more with the machine to itself. What passes then is named with what failed,
 * for it is a defect still, of the test or of what it tests, but not one that every run has.
 */
async function tests(): Promise<Outcome> {
  const files = (
    await Array.fromAsync(
      glob(values.files ?? "{packages,plugins,drivers,apps,test,tools}/**/*.test.ts", {
        exclude: ["**/node_modules/**"],
      }),
    )
  ).sort();
  const first = await runFiles(files, Math.max(2, availableParallelism()));
  const failedFiles = [...new Set(first.failures.map(({ file }) => file))];
  const runAgain = failedFiles.length <= filesRunAgain ? failedFiles.filter((file) => files.includes(file)) : [];
  const again = runAgain.length === 0 ? undefined : await runFiles(runAgain, 1);
  const failures = [...first.failures.filter(({ file }) => !runAgain.includes(file)), ...(again?.failures ?? [])];
  if (first.skips.length > 0)
    console.log(`\nSkipped, each for what this machine lacks:\n${first.skips.map((skip) => `  ${skip}`).join("\n")}`);
  const unsteady = first.failures.filter(({ file }) => runAgain.includes(file));
  if (unsteady.length > 0)
    console.log(`\nFailed at first, so its file was run again alone:\n${unsteady.map(({ text }) => text).join("\n")}`);
  if (failures.length > 0) console.log(`\nFailed:\n${failures.map(({ text }) => text).join("\n")}`);
  return { passed: first.passed + unsteady.length - (again?.failures.length ?? 0), failed: failures.length };
}

const steps: Readonly<Record<string, () => Promise<Outcome>>> = {
  format: () => command(bin("biome"), ["format", "."]),
  lint: () => command(bin("oxlint"), ["--type-aware", "--deny-warnings"]),
  types: () => command(bin("tsc"), ["-p", "."]),
  layers,
  failpoints,
  examples,
  generated,
  programs,
  sidecars,
  tests,
};
/** Steps that are left out unless --only names them. */
const onDemand = new Set(["sidecars"]);

let passed = 0;
let failed = 0;
const before = await leakSnapshot();
for (const [name, step] of Object.entries(steps)) {
  if (wanted === undefined ? onDemand.has(name) : !wanted.includes(name)) continue;
  const started = performance.now();
  const outcome = await step().catch((error: unknown): Outcome => {
    console.log(messageOf(error));
    return { passed: 0, failed: 1 };
  });
  passed += outcome.passed;
  failed += outcome.failed;
  console.log(
    `${outcome.failed === 0 ? "ok  " : "FAIL"} ${name} (${((performance.now() - started) / 1000).toFixed(1)} s)`,
  );
}
const leaks = await leaksSince(before);
for (const leak of leaks) console.log(`left behind: ${leak}`);
console.log(`${leaks.length === 0 ? "ok  " : "FAIL"} nothing left behind`);
if (leaks.length === 0) passed += 1;
else failed += 1;
const interopTable = matrix.lines();
if (interopTable.length > 0) console.log(`\nBoth sides of every interface:\n${interopTable.join("\n")}`);
console.log(`\n${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
