import { TripodError } from "@tripod/base";
import type { LowLevelRuntime } from "@tripod/oci";
import { cgroupVersion } from "@tripod/linux";
import type { CriContext } from "../context.ts";
import type { CriConfig, HandlerConfig } from "../cri-config.ts";

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

/** What the operator has set for a handler. */
export function handlerConfigOf(config: CriConfig, handler: string): HandlerConfig {
  const name = handler === "" ? (config.defaultHandler ?? "runc") : handler;
  return config.handlers?.[name] ?? { program: name };
}

/** Refuses settings that this machine cannot keep. */
export function checkHandlers(config: CriConfig): void {
  for (const [name, { cgroupWritable }] of Object.entries(config.handlers ?? {})) {
    if (cgroupWritable === true && cgroupVersion() !== "v2") {
      throw new TripodError(
        "failed-precondition",
        `handler ${name}: cgroupWritable needs cgroup v2 alone, for on v1 a container could leave its limits; this machine has ${cgroupVersion()}`,
      );
    }
  }
}
