import { TripodError } from "@tripod/base";
import type { LowLevelRuntime } from "@tripod/oci";
import type { CriContext } from "../context.ts";

/** The low-level runtime behind a handler's name. */
export function runtimeOf(context: Pick<CriContext, "runtimes">, handler: string): LowLevelRuntime {
  const runtime = context.runtimes.get(handler);
  if (runtime === undefined) {
    const known = [...context.runtimes.keys()].filter((name) => name !== "").join(", ");
    throw new TripodError(
      "invalid",
      `runtime handler ${JSON.stringify(handler)}: there is none; this node has ${known}`,
    );
  }
  return runtime;
}
