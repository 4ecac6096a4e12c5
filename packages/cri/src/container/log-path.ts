import { isAbsolute, resolve } from "node:path";
import { TripodError } from "@tripod/base";

/** Where the container's log goes: below the sandbox's folder of logs; "" when there is none. Anything outside is an "invalid" error. */
export function logPathOf(logDirectory: string, logPath: string): string {
  if (logDirectory === "" || logPath === "") return "";
  if (!isAbsolute(logDirectory) || `${logDirectory}${logPath}`.includes("\0"))
    throw new TripodError("invalid", `log: the folder ${JSON.stringify(logDirectory)} is not an absolute path`);
  const folder = resolve(logDirectory);
  const path = resolve(folder, logPath);
  if (path.startsWith(`${folder}/`)) return path;
  throw new TripodError(
    "invalid",
    `log: ${JSON.stringify(logPath)} leaves the sandbox's folder ${folder}; give a relative path`,
  );
}
