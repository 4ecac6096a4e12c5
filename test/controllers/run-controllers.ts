// A process of controllers alone, for tests that kill it: run-controllers.ts KUBECONFIG PLUGINS_REGISTRY_DIR
import { silentLogger } from "@tripod/base";
import { startControllers } from "@tripod/controllers";

const [kubeconfig, pluginsRegistryDir] = process.argv.slice(2);
if (kubeconfig === undefined || pluginsRegistryDir === undefined) {
  process.stderr.write("usage: run-controllers.ts KUBECONFIG PLUGINS_REGISTRY_DIR\n");
  process.exit(1);
}
await startControllers({ kubeconfig, pluginsRegistryDir, log: silentLogger });
