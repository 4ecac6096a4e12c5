/** Prints what is about to happen, runs it, and says how long it took. Progress lines may be printed in between. */
export async function step<T>(title: string, work: () => Promise<T>): Promise<T> {
  process.stdout.write(`\n● ${title}\n`);
  const startedMs = performance.now();
  const result = await work();
  process.stdout.write(`  ✓ ${((performance.now() - startedMs) / 1000).toFixed(1)} s\n`);
  return result;
}

/** A line below the current step. */
export const note = (text: string): boolean =>
  process.stdout.write(
    `${text
      .trimEnd()
      .split("\n")
      .map((line) => `    ${line}`)
      .join("\n")}\n`,
  );
