import { messageOf, TripodError } from "@tripod/base";
import type { RuntimeAbilities } from "@tripod/oci";
import type { CriContext } from "../context.ts";
import type { Handler } from "./handler.ts";

/** What a handler's program says of itself, or why it cannot. */
export type HandlerReport =
  | { readonly name: string; readonly abilities: RuntimeAbilities }
  | { readonly name: string; readonly problem: string };

async function reportOf(name: string, { runtime }: Handler): Promise<HandlerReport> {
  try {
    return { name, abilities: await runtime.features() };
  } catch (error) {
    return { name, problem: messageOf(error) };
  }
}

/** All handlers, the default one first, under the name "". */
export async function handlerReports(context: Pick<CriContext, "handlers">): Promise<HandlerReport[]> {
  const reports = await Promise.all([...context.handlers].map(([name, handler]) => reportOf(name, handler)));
  return reports.toSorted((a, b) => a.name.localeCompare(b.name));
}

/** Refuses a handler whose program does not run here. */
export async function requireInstalled({ name, runtime }: Handler): Promise<void> {
  try {
    await runtime.features();
  } catch (cause) {
    throw new TripodError("failed-precondition", `runtime handler ${name}: ${messageOf(cause)}`, { cause });
  }
}
