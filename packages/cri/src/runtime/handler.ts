import { join } from "node:path";
import { type Layout, type TaskOwner, TripodError } from "@tripod/base";
import { type LowLevelRuntime, RuncRuntime, ShimRuntime } from "@tripod/oci";
import type { CriContext } from "../context.ts";
import type { CriConfig } from "../cri-config.ts";
import { type HandlerSettings, handlerSettings, settingsOf } from "./handler-config.ts";

/** A runtime handler as this server has it. */
export interface Handler {
  readonly name: string;
  readonly settings: HandlerSettings;
  readonly runtime: LowLevelRuntime;
}

interface Folders {
  readonly layout: Layout;
  readonly config: CriConfig;
  /** Where supervisors leave exit codes. */
  readonly exitDir: string;
  readonly tasks: TaskOwner;
}

function makeRuntime(name: string, settings: HandlerSettings, folders: Folders): LowLevelRuntime {
  const { layout, config, exitDir, tasks } = folders;
  const { program, kind, configPath } = settings;
  const common = { name, conmon: config.conmon ?? "conmon", rootDir: join(layout.runDir, "handlers", name), exitDir };
  return kind === "shim"
    ? new ShimRuntime({ ...common, shim: program, tasks, ...(configPath !== undefined && { configPath }) })
    : new RuncRuntime({
        ...common,
        runtime: program,
        arguments: settings.arguments,
        criu: config.criu ?? "criu",
      });
}

const makeHandler = (name: string, settings: HandlerSettings, folders: Folders): Handler => ({
  name,
  settings,
  runtime: makeRuntime(name, settings, folders),
});

/** The handlers of the configuration, by name; "" is the default one. */
export function makeHandlers(folders: Folders): Map<string, Handler> {
  const settings = handlerSettings(folders.config.handlers ?? {});
  const handlers = new Map([...settings].map(([name, each]) => [name, makeHandler(name, each, folders)]));
  const defaultName = folders.config.defaultHandler ?? "runc";
  const standard = handlers.get(defaultName);
  if (standard === undefined) {
    const known = [...handlers.keys()].join(", ");
    throw new TripodError("invalid", `cri: the default handler ${defaultName} is not among the handlers ${known}`);
  }
  return handlers.set("", standard);
}

/** The handler that a request or a record names. */
export function handlerOf(context: Pick<CriContext, "handlers">, name: string): Handler {
  const handler = context.handlers.get(name);
  if (handler === undefined) {
    const known = [...context.handlers.keys()].filter((each) => each !== "").join(", ");
    throw new TripodError("invalid", `runtime handler ${JSON.stringify(name)}: there is none; this node has ${known}`);
  }
  return handler;
}

/** The low-level runtime behind a handler's name. */
export const runtimeOf = (context: Pick<CriContext, "handlers">, name: string): LowLevelRuntime =>
  handlerOf(context, name).runtime;

/** The same for taking down what it made, which must not fail because the configuration names the handler no longer. */
export function removingRuntimeOf(
  context: Pick<CriContext, "handlers" | "layout" | "config" | "tasks">,
  name: string,
): LowLevelRuntime {
  const { layout, config, handlers, tasks } = context;
  const known = handlers.get(name);
  if (known !== undefined) return known.runtime;
  return makeHandler(name, settingsOf(name, {}), { layout, config, tasks, exitDir: join(layout.runDir, "exits") })
    .runtime;
}
