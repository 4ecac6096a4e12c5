import { layoutOf } from "@tripod/base";
import { Command } from "commander";
import { type Check, runChecks } from "./index.ts";

const marks: Readonly<Record<Check["status"], string>> = { ok: "ok  ", warn: "warn", fail: "FAIL" };

function render(check: Check): string {
  const line = `${marks[check.status]}  ${check.name.padEnd(28)} ${check.found}`;
  return check.remedy === undefined ? line : `${line}\n      → ${check.remedy}`;
}

/** `tripod doctor`: exits with 1 when a check fails; warnings alone exit with 0. */
export function doctorCommand(): Command {
  return new Command("doctor")
    .description(
      "Check kernel features, binaries, cgroups, forwarding, ports and folders, and say how to mend what is missing",
    )
    .option("--root <dir>", "the instance's folder")
    .option("--json", "as JSON")
    .addHelpText("after", "\nExample:\n  tripod doctor --json | jq '.[] | select(.status != \"ok\")'")
    .action(async (options: { root?: string; json?: true }) => {
      const checks = await runChecks(layoutOf(options.root));
      process.stdout.write(
        options.json ? `${JSON.stringify(checks, null, 2)}\n` : `${checks.map(render).join("\n")}\n`,
      );
      if (checks.some((check) => check.status === "fail")) process.exitCode = 1;
    });
}
