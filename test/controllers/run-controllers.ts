// A process of controllers alone, for tests that kill it: run-controllers.ts KUBECONFIG PLUGINS_REGISTRY_DIR [OPTIONS as JSON]
import { silentLogger } from "@tripod/base";
import { type ControllersOptions, startControllers } from "@tripod/controllers";

const [kubeconfig, pluginsRegistryDir, options = "{}"] = process.argv.slice(2);
if (kubeconfig === undefined || pluginsRegistryDir === undefined) {
  process.stderr.write("usage: run-controllers.ts KUBECONFIG PLUGINS_REGISTRY_DIR\n");
  process.exit(1);
}
// Written by the test that starts this process.
const more = JSON.parse(options) as Partial<ControllersOptions>;
await startControllers({ kubeconfig, pluginsRegistryDir, log: silentLogger, ...more });
