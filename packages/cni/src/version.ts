import { TripodError } from "@tripod/base";

/** The versions of the CNI specification that Tripod speaks, oldest first. */
export const supportedVersions: readonly string[] = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/** The newest of them. */
export const currentVersion = "1.1.0";

/** A configuration or result that names no version is taken to be of this one (spec: cniVersion). */
export const unnamedVersion = "0.1.0";

const parts = (version: string): readonly number[] => {
  const match = /^(\d{1,6})(?:\.(\d{1,6}))?(?:\.(\d{1,6}))?$/.exec(version);
  if (match === null)
    throw new TripodError("invalid", `CNI version ${JSON.stringify(version.slice(0, 40))}: not of the form 1.0.0`);
  return [Number(match[1]), Number(match[2] ?? 0), Number(match[3] ?? 0)];
};

/** Negative when `a` is older than `b`, 0 when they are the same. Throws "invalid" for what is no version. */
function compareVersions(a: string, b: string): number {
  const [left, right] = [parts(a), parts(b)];
  for (let index = 0; index < 3; index += 1) {
    const difference = (left[index] ?? 0) - (right[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

export const atLeast = (version: string, wanted: string): boolean => compareVersions(version, wanted) >= 0;

/** The newest version of `offered` that Tripod speaks; undefined when there is none (spec: cniVersions). */
export function newestSupported(offered: readonly string[]): string | undefined {
  return offered
    .filter((version) => supportedVersions.includes(version))
    .toSorted(compareVersions)
    .at(-1);
}
