import { accessSync, constants, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { isTripodError, type Layout, messageOf } from "@tripod/base";
import { readSysctl, sysctlFile } from "@tripod/linux";
import { type Check, fail, ok, warn } from "./check.ts";

const API_SERVER_PORT = 6443;
const KUBELET_PORT = 10250;

export async function networkChecks(layout: Layout): Promise<Check[]> {
  return [
    forwardingCheck("ip forwarding", "net.ipv4.ip_forward"),
    forwardingCheck("ipv6 forwarding", "net.ipv6.conf.all.forwarding"),
    await portCheck("API server port", { port: ownPort(layout) ?? API_SERVER_PORT, own: ownPort(layout) }),
    await portCheck("kubelet port", { port: KUBELET_PORT, own: undefined }),
  ];
}

function forwardingCheck(name: string, parameter: string): Check {
  let value: string;
  try {
    value = readSysctl(parameter);
  } catch (error) {
    if (!isTripodError(error, "not-found"))
      return fail(name, messageOf(error), `see why ${sysctlFile(parameter)} cannot be read`);
    return warn(
      name,
      "not in this kernel",
      "Pods get no addresses of this family; use a kernel that has it if they should",
    );
  }
  if (value !== "0") return ok(name, "on");
  const writable = canWrite(sysctlFile(parameter));
  const persist = `echo ${parameter}=1 > /etc/sysctl.d/90-tripod.conf && sysctl --system`;
  return writable
    ? warn(name, "off; the bridge plugin turns it on with the first Pod that needs it", persist)
    : fail(name, "off, and it cannot be turned on here (read-only /proc/sys)", `on the host: ${persist}`);
}

function canWrite(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false; // whatever the reason, it is not writable
  }
}

/** The port that this instance's API server used last. */
function ownPort(layout: Layout): number | undefined {
  try {
    return Number(readFileSync(join(layout.libDir, "apiserver-port"), "utf8"));
  } catch {
    return undefined; // a fresh instance
  }
}

/** Whether `port` can be listened on; `own` is the one that an instance already running here holds by right. */
export async function portCheck(
  name: string,
  options: { readonly port: number; readonly own: number | undefined },
): Promise<Check> {
  const { port, own } = options;
  const problem = await listenOnce(port);
  if (problem === undefined) return ok(name, `${port} is free`);
  if (problem !== "EADDRINUSE") return fail(name, `${port}: ${problem}`, "run as root");
  if (port === own) return ok(name, `${port} is in use, by this instance if it runs`);
  return warn(
    name,
    `${port} is taken`,
    `another port is chosen; to have this one, end what holds it: ss -ltnp 'sport = :${port}'`,
  );
}

/** The errno of listening on the port, on all addresses; undefined when it worked. */
function listenOnce(port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen(port, () => server.close(() => resolve(undefined)));
  });
}
