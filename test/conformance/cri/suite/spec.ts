import type { World } from "./world.ts";

/** One thing that the interface asks of a runtime. */
export interface Spec {
  readonly topic: string;
  /** A sentence. */
  readonly name: string;
  /** Throws when the runtime does otherwise; Skipped or NotImplemented when that cannot be told. */
  readonly run: (world: World) => Promise<void>;
}

/** The specs of one topic, by their sentences. */
export const topic = (name: string, specs: Readonly<Record<string, Spec["run"]>>): readonly Spec[] =>
  Object.entries(specs).map(([sentence, run]) => ({ topic: name, name: sentence, run }));

/** Thrown by a spec that needs what this machine lacks. */
export class Skipped extends Error {}

/** Thrown by a spec about something that the runtime itself says it does not have. */
export class NotImplemented extends Error {}

/** Ends a spec that needs what this machine lacks; the reason says what. */
export function skip(reason: string): never {
  throw new Skipped(reason);
}

/** Ends a spec about something that the runtime does not have, by its own word. */
export function notImplemented(reason: string): never {
  throw new NotImplemented(reason);
}
