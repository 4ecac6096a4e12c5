import { existsSync } from "node:fs";
import { codeOf, runCommand, TripodError } from "@tripod/base";

/** Whether systemd is this machine's init, which then is the one to make and remove its cgroups (sd_booted(3)). */
export const systemdIsInit = (): boolean => existsSync("/run/systemd/system");

/** What systemd takes in a slice's name between the dashes; the whole name is a file name. */
const sliceName = /^(?:[A-Za-z0-9:_.\\]+-)*[A-Za-z0-9:_.\\]+\.slice$/;

/** The cgroup of a slice: "a-b.slice" is below "a.slice". "-.slice" is the root. */
export function slicePath(slice: string): string {
  if (slice === "-.slice") return "/";
  if (slice.length > 255 || !sliceName.test(slice)) {
    throw new TripodError(
      "invalid",
      `slice ${JSON.stringify(slice)}: give a name as kubepods-pod1.slice, without a path`,
    );
  }
  const parts = slice.slice(0, -".slice".length).split("-");
  return parts.map((_, index) => `/${parts.slice(0, index + 1).join("-")}.slice`).join("");
}

const systemctl = (...args: string[]): Promise<unknown> =>
  runCommand("systemctl", ["--no-ask-password", ...args], { timeoutMs: 30_000 });

/** Removes a slice of ours with all in it; one that is not loaded is no error. Only needed where systemd is init. */
export async function stopSlice(slice: string): Promise<void> {
  slicePath(slice);
  try {
    await systemctl("stop", slice);
  } catch (error) {
    if (codeOf(error) === "internal" && /not loaded/.test(String(error))) return;
    throw error;
  }
}
