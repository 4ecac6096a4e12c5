import { createLogger } from "@tripod/base";
import { connectDriver, DriverRegistration, parseEndpoint } from "@tripod/csi";
import { Command } from "commander";

interface RegisterOptions {
  readonly endpoint: string;
  readonly registrationDir: string;
}

/** `tripod csi register`: offers a foreign driver to the kubelet, until SIGTERM or SIGINT. */
export function registerCommand(): Command {
  return new Command("register")
    .description("Register a CSI driver that cannot do it itself with the kubelet, until SIGTERM")
    .requiredOption("--endpoint <endpoint>", "the driver's socket, as in unix:///run/csi.sock")
    .requiredOption("--registration-dir <dir>", "the kubelet's plugins_registry")
    .addHelpText(
      "after",
      "\nExample:\n  tripod csi register --endpoint unix:///run/csi.sock --registration-dir /var/lib/kubelet/plugins_registry",
    )
    .action(register);
}

async function register({ endpoint, registrationDir }: RegisterOptions): Promise<void> {
  const stopped = new Promise<string>((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve(signal));
  });
  const log = createLogger("csi-register");
  const socket = parseEndpoint(endpoint);
  using driver = connectDriver(socket);
  const { name } = await driver.identity.getPluginInfo({}, { timeoutMs: 30_000 });
  await using registration = new DriverRegistration({ dir: registrationDir, driverName: name, endpoint: socket, log });
  await registration.start();
  log.info({ driver: name, socket: registration.socket }, "the driver is offered to the kubelet");
  log.info({ reason: await stopped }, "the registration ends");
}
