import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { type Logger, silentLogger } from "@tripod/base";
import { serveGrpc } from "@tripod/grpc";
import type { Driver } from "./driver.ts";
import { driverServices } from "./driver-services.ts";
import { parseEndpoint } from "./endpoint.ts";
import { DriverRegistration } from "./registration.ts";

export interface ServeDriverOptions {
  /** unix:///run/csi.sock; its folder is made when absent. */
  readonly endpoint: string;
  readonly driver: Driver;
  /** The kubelet's plugins_registry; without it the driver does not register itself. */
  readonly registrationDir?: string;
  /** Nothing is logged unless told. */
  readonly log?: Logger;
}

/** A served driver; disposing it withdraws the registration, lets calls end for a moment, and removes its sockets. */
export interface ServedDriver extends AsyncDisposable {
  readonly socket: string;
}

/** Serves a driver's Identity, Controller and Node services on its endpoint, and keeps it registered with the kubelet. */
export async function serveDriver(options: ServeDriverOptions): Promise<ServedDriver> {
  const { driver, registrationDir, log = silentLogger } = options;
  const socket = parseEndpoint(options.endpoint);
  mkdirSync(dirname(socket), { recursive: true, mode: 0o750 });
  await using owned = new AsyncDisposableStack();
  owned.use(
    await serveGrpc({ socket, services: driverServices(driver), traced: (method) => method !== "Identity/Probe" }),
  );
  if (registrationDir !== undefined) {
    const registration = new DriverRegistration({
      dir: registrationDir,
      driverName: driver.name,
      endpoint: socket,
      log,
    });
    owned.use(registration);
    await registration.start();
  }
  const kept = owned.move();
  return { socket, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}
