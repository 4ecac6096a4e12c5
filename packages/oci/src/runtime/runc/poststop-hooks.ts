import { readFileSync } from "node:fs";
import { join } from "node:path";
import { isNodeError, runCommand } from "@tripod/base";
import { withSpan } from "@tripod/trace";
import type { RuntimeSpec } from "../spec/runtime-spec.ts";

/** A hook that has not ended by then, and sets no time of its own, is killed: a removal does not wait for ever. */
const hookTimeoutMs = 120_000;

/** config.json of the bundle when it asks for poststop hooks; most do not, and are not parsed for it. */
function specWithHooks(bundle: string): RuntimeSpec | undefined {
  try {
    const text = readFileSync(join(bundle, "config.json"), "utf8");
    return text.includes('"poststop"') ? (JSON.parse(text) as RuntimeSpec) : undefined; // we have written it
  } catch (error) {
    if (isNodeError(error, "ENOENT")) return undefined; // it never came so far, or is gone
    throw error;
  }
}

/**
 * Runs the poststop hooks of a container that has been deleted, as `runtime delete` would (OCI runtime specification, "Lifecycle"): each
 * with the state on its standard input, on to the next when one fails. Repeated after a crash in its middle.
 */
export async function runPoststopHooks(container: { readonly id: string; readonly bundle: string }): Promise<void> {
  const spec = specWithHooks(container.bundle);
  const { ociVersion, annotations } = spec ?? {};
  const state = JSON.stringify({ ociVersion, ...container, status: "stopped", annotations });
  for (const hook of spec?.hooks?.poststop ?? []) {
    const { path, args = [], env, timeout } = hook;
    await withSpan("oci hook", { "container.id": container.id, hook: "poststop", path }, () =>
      runCommand(path, args.slice(1), {
        input: state,
        env:
          env === undefined
            ? { PATH: process.env.PATH }
            : Object.fromEntries(env.map((assignment) => assignment.split(/=(.*)/s).slice(0, 2))),
        timeoutMs: timeout === undefined ? hookTimeoutMs : timeout * 1000,
        cwd: container.bundle,
      }),
    ).catch(() => {}); // its span says why; the specification wants the rest done
  }
}
