import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { ContainerActual } from "../cri/pod-actual.ts";
import { terminationMessagePathAnnotation } from "../cri/pod-labels.ts";
import { readTerminationMessage } from "./termination-message.ts";

test("a named pipe or a folder in place of the message file holds nobody up", { timeout: 5000 }, async () => {
  const dir = mkdtempSync(join(tmpdir(), "tripod-last-words-"));
  try {
    const pipe = join(dir, "pipe");
    execFileSync("mkfifo", [pipe]);
    for (const path of [pipe, dir]) {
      const container: ContainerActual = {
        id: "c",
        name: "c",
        attempt: 0,
        sandboxId: "s",
        state: "exited",
        createdAtMs: 0,
        startedAtMs: 0,
        finishedAtMs: 0,
        exitCode: 1,
        reason: "Error",
        message: "",
        image: "",
        imageRef: "",
        logPath: "",
        annotations: { [terminationMessagePathAnnotation]: "/last" },
        mounts: new Map([["/last", path]]),
        user: undefined,
      };
      assert.equal(await readTerminationMessage(container, dir), "", path);
    }
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});
