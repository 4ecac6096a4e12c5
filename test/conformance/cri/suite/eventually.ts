import { setTimeout as delay } from "node:timers/promises";

const pauseMs = 25;
const patienceMs = 20_000;

/** Asks again and again until there is an answer: a runtime of others tells nobody when something happens. */
export async function eventually<T>(what: string, ask: () => Promise<T | undefined> | T | undefined): Promise<T> {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (performance.now() > deadline) throw new Error(`waited ${patienceMs / 1000} s in vain until ${what}`);
    await delay(pauseMs);
  }
}
