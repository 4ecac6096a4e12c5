import { closeSync, mkdirSync, openSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { silentLogger } from "@tripod/base";
import { connectDriver, DriverRegistration, parseEndpoint } from "@tripod/csi";
import { Command } from "commander";
import { print } from "./driver-call.ts";
import { callLine, describeCall } from "./proxy/describe-call.ts";
import { GrpcRelay } from "./proxy/grpc-relay.ts";

interface ProxyOptions {
  readonly listen: string;
  readonly endpoint: string;
  readonly registrationDir?: string;
  readonly record?: string;
  readonly json?: true;
}

/** `tripod csi proxy`: stands before a driver and shows every call, until SIGTERM or SIGINT. */
export function proxyCommand(): Command {
  return new Command("proxy")
    .description("Stand before a driver and show every call that goes through, until SIGTERM; secrets are taken out")
    .requiredOption("--listen <endpoint>", "where callers connect, as unix:///run/proxy.sock")
    .requiredOption("--endpoint <endpoint>", "the driver's socket")
    .option("--registration-dir <dir>", "the kubelet's plugins_registry: the kubelet then goes through the proxy")
    .option("--record <file>", "append every call to this file, a line of JSON each")
    .option("--json", "print calls as lines of JSON, with requests and replies")
    .addHelpText(
      "after",
      "\nExample:\n  tripod csi proxy --listen unix:///run/proxy.sock --endpoint unix:///run/csi.sock --record calls.jsonl\n\nTo see what a kubelet asks, stop the driver's own registrar and give --registration-dir.",
    )
    .action(proxy);
}

async function proxy(options: ProxyOptions): Promise<void> {
  const stopped = new Promise<void>((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve());
  });
  const [listen, target] = [parseEndpoint(options.listen), parseEndpoint(options.endpoint)];
  mkdirSync(dirname(listen), { recursive: true, mode: 0o750 });
  using stack = new DisposableStack();
  const record = options.record === undefined ? undefined : openSync(options.record, "a", 0o600);
  if (record !== undefined) stack.defer(() => closeSync(record));
  await using relay = new GrpcRelay({
    listen,
    target,
    onCall: (seen) => {
      const call = describeCall(seen);
      const line = JSON.stringify(call);
      if (record !== undefined) writeSync(record, `${line}\n`);
      print(options.json === true ? line : callLine(call));
    },
  });
  await relay.start();
  await using registration = new AsyncDisposableStack();
  if (options.registrationDir !== undefined) {
    using driver = connectDriver(target);
    const { name } = await driver.identity.getPluginInfo({}, { timeoutMs: 30_000 });
    const offer = new DriverRegistration({
      dir: options.registrationDir,
      driverName: name,
      endpoint: listen,
      log: silentLogger,
    });
    registration.use(offer);
    await offer.start();
  }
  process.stderr.write(`tripod: ${listen} stands before ${target}; Ctrl-C ends it\n`);
  await stopped;
}
