import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { isTripodError } from "@tripod/base";
import { capabilities, hasCapability, isRoot } from "./capabilities.ts";
import { pidfdOpen, pidfdSendSignal } from "./pidfd.ts";
import { parseProcessStat, processIsRunning, processStartTime } from "./process-start-time.ts";
import { reap, setSubreaper } from "./subreaper.ts";
import { openPipe, spawnProcess } from "./spawn-process.ts";
import { waitForExit } from "./wait-for-exit.ts";
import { streamOfFd } from "../fd-stream.ts";
import { libc } from "../libc.ts";

const openDescriptors = (): number => readdirSync("/proc/self/fd").length;

/** A PID that certainly nobody has: the kernel's largest is below 2^22. */
const NOBODY = 2 ** 22 + 1;

test("waitForExit resolves when processes end, and closes what it opened", async () => {
  const before = openDescriptors();
  const children = Array.from({ length: 50 }, () => spawn("sleep", ["1000"], { stdio: "ignore" }));
  const ended = children.map((child) => once(child, "exit"));
  const waits = children.map((child) => waitForExit(child.pid ?? 0));
  for (const child of children) child.kill("SIGKILL");
  await Promise.all(waits);
  await Promise.all(ended);
  assert(openDescriptors() <= before + 1);
});

test("waitForExit works for a process that is nobody's child here", async () => {
  const shell = spawn("sh", ["-c", "sleep 1000 >/dev/null & echo $!"], { stdio: ["ignore", "pipe", "inherit"] });
  const shellEnded = once(shell, "exit");
  const [line] = await once(shell.stdout, "data");
  const pid = Number(String(line));
  await shellEnded;
  const wait = waitForExit(pid);
  process.kill(pid, "SIGKILL");
  await wait;
  assert(!processIsRunning(pid));
});

test("waitForExit of nobody, or of another process with the same number, resolves at once", async () => {
  await waitForExit(NOBODY);
  await waitForExit(process.pid, { startTime: 1 });
});

test("waitForExit can be given up", async () => {
  const before = openDescriptors();
  const controller = new AbortController();
  const wait = waitForExit(process.pid, { signal: controller.signal });
  controller.abort(new Error("enough"));
  await assert.rejects(wait, /enough/);
  await assert.rejects(waitForExit(process.pid, { signal: controller.signal }), /enough/);
  assert.equal(openDescriptors(), before);
});

test("a pidfd signals its process and no other", async () => {
  const child = spawn("sleep", ["1000"], { stdio: "ignore" });
  const pidfd = pidfdOpen(child.pid ?? 0);
  assert(pidfd !== undefined);
  const ended = once(child, "exit");
  pidfdSendSignal(pidfd, 15);
  assert.deepEqual(await ended, [null, "SIGTERM"]);
  assert.throws(() => pidfdSendSignal(pidfd, 15), { errno: "ESRCH" });
  libc.close(pidfd);
  assert.equal(pidfdOpen(NOBODY), undefined);
});

test("a process's start is told apart, however it is called", () => {
  const zeros = "0 ".repeat(17);
  assert.equal(parseProcessStat(`7 (a) b) (c) S 1 ${zeros}4242 0`).state, "S");
  const { startTime } = parseProcessStat(`7 (x) R 1 ${zeros}4242 0`);
  assert.equal(startTime, 4242);
  assert.throws(
    () => parseProcessStat("nonsense"),
    (error) => isTripodError(error, "corrupt"),
  );
  const own = processStartTime(process.pid);
  assert(own !== undefined && own > 0);
  assert(processIsRunning(process.pid, own));
  assert(!processIsRunning(process.pid, own + 1));
  assert.equal(processStartTime(NOBODY), undefined);
});

test("capabilities are those that the kernel says", () => {
  const effective = capabilities();
  const bits = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0";
  assert.equal(effective.length, BigInt(`0x${bits}`).toString(2).replaceAll("0", "").length);
  assert.equal(hasCapability("CAP_SYS_ADMIN"), effective.includes("CAP_SYS_ADMIN"));
  assert.equal(isRoot(), process.getuid?.() === 0);
});

test("a subreaper adopts orphans and learns how they ended", async () => {
  setSubreaper();
  try {
    const shell = spawn("sh", ["-c", "(read go; exit 7) <&3 >/dev/null & echo $!"], {
      stdio: ["ignore", "pipe", "inherit", "pipe"],
    });
    assert(shell.stdout !== null);
    const shellEnded = once(shell, "exit");
    const [line] = await once(shell.stdout, "data");
    const pid = Number(String(line));
    await shellEnded;
    assert.equal(reap(pid), undefined);
    const input = shell.stdio[3];
    assert(input !== null && input !== undefined && "end" in input);
    input.end("go\n");
    await waitForExit(pid);
    assert.deepEqual(reap(pid), { kind: "exited", code: 7 });
    assert.equal(reap(pid), undefined);
  } finally {
    setSubreaper(false);
  }
});

test("spawnProcess gives folder, environment and descriptors, a session of its own, and no ignored signals", async () => {
  const before = openDescriptors();
  const { read, write } = openPipe();
  const script =
    'pwd; echo "$WORD"; cut -d" " -f6 /proc/self/stat; grep SigIgn /proc/self/status; ls /proc/self/fd; exit 7';
  const pid = await spawnProcess("/bin/sh", ["-c", script], {
    cwd: "/usr",
    env: { WORD: "a b", PATH: "/usr/bin:/bin" },
    stdio: ["null", write, write],
  });
  closeSync(write);
  const stream = streamOfFd(read);
  const text = String(Buffer.concat(await stream.toArray()));
  await waitForExit(pid);
  assert.deepEqual(reap(pid), { kind: "exited", code: 7 });
  const [folder, word, session, ignored, ...descriptors] = text.trim().split("\n");
  assert.deepEqual([folder, word, session, ignored], ["/usr", "a b", String(pid), "SigIgn:\t0000000000000000"]);
  assert(!descriptors.includes(String(read)) && !descriptors.includes(String(write)), descriptors.join(" "));
  assert.equal(openDescriptors(), before);
});

test("spawnProcess refuses what cannot be executed, and words that would be cut short", async () => {
  const options = { cwd: "/", env: {}, stdio: ["null"] as const };
  await assert.rejects(spawnProcess("/nowhere/program", [], options), { errno: "ENOENT", code: "not-found" });
  await assert.rejects(spawnProcess("/bin/sh", [], { ...options, cwd: "/nowhere" }), { errno: "ENOENT" });
  await assert.rejects(spawnProcess("/bin/sh", ["a\0b"], options), { code: "invalid" });
  await assert.rejects(spawnProcess("/bin/sh", [], { ...options, stdio: [1, 0] }), { code: "invalid" });
});
