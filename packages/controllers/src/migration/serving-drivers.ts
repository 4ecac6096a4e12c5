import type { StorageClass } from "@tripod/api/kubernetes";
import { inTreeDriverOfProvisioner, migratedClass } from "@tripod/csi/migration";
import { nodeDriver } from "../csi/node-driver.ts";
import type { World } from "../world.ts";

/** Driver by the driver that it stands in for: {"ebs.csi.aws.com": "loop.csi.tripod.dev"}. */
export type StandIns = Readonly<Record<string, string>>;

/** Which CSI driver serves the kinds of storage that were once built in: its own, or where that is not installed one that stands in. */
export class ServingDrivers {
  readonly #world: Pick<World, "drivers" | "csiNodes">;
  readonly #standIns: StandIns;

  constructor(world: Pick<World, "drivers" | "csiNodes">, standIns: StandIns) {
    this.#world = world;
    this.#standIns = standIns;
  }

  /** The driver that serves in place of `driver`; itself when it is installed, or nothing stands in for it. */
  of(driver: string): string {
    const standIn = Object.hasOwn(this.#standIns, driver) ? this.#standIns[driver] : undefined;
    if (standIn === undefined || this.#isInstalled(driver)) return driver;
    return standIn;
  }

  /** The driver that serves a class, by the provisioner that it names. */
  provisionerOf({ provisioner }: StorageClass): string {
    const driver = inTreeDriverOfProvisioner(provisioner);
    return driver === undefined ? provisioner : this.of(driver);
  }

  /** The class in the terms of the driver that serves it. Throws "invalid" for one that cannot be put in these. */
  classOf<T extends StorageClass>(storageClass: T): T {
    const isMigrated = inTreeDriverOfProvisioner(storageClass.provisioner) !== undefined;
    return isMigrated ? migratedClass(storageClass, this.provisionerOf(storageClass)) : storageClass;
  }

  #isInstalled(driver: string): boolean {
    const { drivers, csiNodes } = this.#world;
    return drivers.get(driver) !== undefined || csiNodes.list().some((each) => nodeDriver(each, driver) !== undefined);
  }
}
