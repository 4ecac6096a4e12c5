import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { FreshNetns } from "@tripod/linux/testing";

const mark = "TRIPOD_TEST_FRESH_HOST";

/**
 * Puts a whole test file into a network namespace of its own, which is "the host" for everything in it: bridges, rules and sysctls
 * never reach the machine's. To be called at the top of the file with its import.meta.url; true inside. Outside, the file runs again
 * inside, and this process ends with its exit code.
 */
export function onFreshHost(url: string): boolean {
  if (process.env[mark] === url) return true;
  let status: number;
  {
    using host = new FreshNetns();
    const inside = spawnSync(
      "nsenter",
      [`--net=${host.path}`, process.execPath, ...process.execArgv, fileURLToPath(url)],
      {
        stdio: "inherit",
        env: { ...process.env, [mark]: url },
      },
    );
    status = inside.status ?? 1;
  }
  process.exit(status);
}
