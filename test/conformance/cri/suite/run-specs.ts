import { isTripodError, messageOf } from "@tripod/base";
import { Session, type Target } from "./session.ts";
import { NotImplemented, Skipped, type Spec } from "./spec.ts";
import { World } from "./world.ts";

export type OutcomeKind = "passed" | "failed" | "skipped" | "not implemented";

/** How one spec went. */
export interface Outcome {
  readonly topic: string;
  readonly name: string;
  readonly kind: OutcomeKind;
  /** One line; "" for what has passed. */
  readonly reason: string;
  readonly durationMs: number;
}

/** How long one spec may take. */
const specTimeoutMs = 40_000;

/** Runs the specs, a few at a time, against one runtime. The outcomes are in the order of the specs. */
export async function runSpecs(
  target: Target,
  specs: readonly Spec[],
  options: { readonly parallel?: number; readonly onOutcome?: (outcome: Outcome) => void } = {},
): Promise<Outcome[]> {
  await using session = new Session(target);
  await session.images.pullImage({ image: { image: session.imageName("busybox:1") } });
  const outcomes: Outcome[] = [];
  const todo = specs.entries();
  const worker = async (): Promise<void> => {
    for (const [index, spec] of todo) {
      const outcome = await runSpec(session, spec);
      outcomes[index] = outcome;
      options.onOutcome?.(outcome);
    }
  };
  await Promise.all(Array.from({ length: options.parallel ?? 4 }, worker));
  return outcomes;
}

async function runSpec(session: Session, spec: Spec): Promise<Outcome> {
  const started = performance.now();
  const ended = (kind: OutcomeKind, reason = ""): Outcome => ({
    topic: spec.topic,
    name: spec.name,
    kind,
    reason,
    durationMs: Math.round(performance.now() - started),
  });
  try {
    await inTime(async () => {
      await using world = new World(session);
      await spec.run(world);
    });
    return ended("passed");
  } catch (error) {
    // What a spec's own clean-up says comes second.
    const first = error instanceof SuppressedError ? (error.suppressed as unknown) : error;
    const reason = messageOf(first).replace(/\s+/g, " ").slice(0, 300);
    if (error instanceof SuppressedError) return ended("failed", `${reason}; clean-up: ${messageOf(error.error)}`);
    if (first instanceof Skipped) return ended("skipped", reason);
    if (first instanceof NotImplemented || isTripodError(first, "unimplemented"))
      return ended("not implemented", reason);
    return ended("failed", reason);
  }
}

async function inTime(work: () => Promise<void>): Promise<void> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`not done after ${specTimeoutMs / 1000} s`)), specTimeoutMs);
  try {
    await Promise.race([work(), late]);
  } finally {
    clearTimeout(timer);
  }
}
