// The bind driver in a process of its own, for tests that kill it: argv[2] is the root. Prints "ready".
import { failpoint, layoutOf } from "@tripod/base";
import { startBindDriver } from "./bind-driver.ts";

await startBindDriver(layoutOf(process.argv[2] ?? ""), {
  node: {
    async nodeExpandVolume() {
      failpoint("test.driver.before-expand");
      failpoint("test.driver.expanded");
      return {};
    },
  },
});
process.stdout.write("ready\n");
