/** The first version number in a text, as numbers: [2, 1, 6] of "conmon version 2.1.6"; undefined when there is none. */
export function parseVersion(text: string): number[] | undefined {
  return /\d+(?:\.\d+)+/.exec(text)?.[0].split(".").map(Number);
}

/** Whether `version` is `least` or newer; parts that are missing count as 0. */
export function isAtLeast(version: readonly number[], least: readonly number[]): boolean {
  for (let index = 0; index < Math.max(version.length, least.length); index += 1) {
    const difference = (version[index] ?? 0) - (least[index] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return true;
}
