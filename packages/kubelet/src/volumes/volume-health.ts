import { StorageHealthErrorType, VolumeHealthErrorType } from "@tripod/api/csi";
import { type Logger, messageOf, TaskOwner } from "@tripod/base";
import { abortableDelay } from "@tripod/kube";
import { uidOf } from "../pods/pod-facts.ts";
import type { CsiDrivers, RegisteredDriver } from "./csi-drivers.ts";
import type { CsiPublication } from "./csi-publication.ts";
import type { VolumeEvents } from "./volume-events.ts";

export interface FollowHealthOptions {
  readonly drivers: CsiDrivers;
  readonly publications: () => readonly CsiPublication[];
  readonly events: VolumeEvents;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** How often drivers are asked; every minute unless told, as upstream does. */
  readonly everyMs?: number;
  /** How long a driver has for one answer; 30 seconds unless told. */
  readonly callTimeoutMs?: number;
}

interface Problem {
  readonly status: number;
  readonly reason: string;
  readonly message: string;
}

/** As many of a driver's problems are told. */
const mostProblems = 10;

const textOf = (problems: readonly Problem[], codes: Readonly<Record<string, number>>): string =>
  problems
    .slice(0, mostProblems)
    .map(({ status, reason, message }) => {
      const name = Object.entries(codes).find(([, code]) => code === status)?.[0] ?? "UNKNOWN";
      return [name, reason, message].filter((part) => part !== "").join(": ");
    })
    .toSorted()
    .join("; ");

/**
 * Asks drivers how their volumes are, and the storage behind them, for as long as the signal lets it. What changes is an Event, on the Pods
 * that use a volume or on the node. A driver that hangs is waited for alone.
 */
export async function followHealth(options: FollowHealthOptions): Promise<void> {
  const { drivers, signal, everyMs = 60_000 } = options;
  const health = new Health(options);
  const busy = new Set<string>();
  await using tasks = new TaskOwner("health of volumes", options.log);
  while (!signal.aborted) {
    health.keepOnly(options.publications());
    for (const driver of drivers.list()) {
      if (busy.has(driver.name)) continue;
      busy.add(driver.name);
      tasks.run(driver.name, async () => {
        await health.ask(driver);
        busy.delete(driver.name);
      });
    }
    await abortableDelay(everyMs, signal).catch(() => undefined);
  }
}

class Health {
  readonly #options: FollowHealthOptions;
  /** What was told last; nothing for what is well. */
  readonly #told = new Map<string, string>();

  constructor(options: FollowHealthOptions) {
    this.#options = options;
  }

  keepOnly(publications: readonly CsiPublication[]): void {
    const keys = new Set(publications.map(keyOf));
    for (const key of this.#told.keys()) if (key.startsWith("volume ") && !keys.has(key)) this.#told.delete(key);
  }

  /** Asks one driver for everything. Never fails. */
  async ask(driver: RegisteredDriver): Promise<void> {
    const { publications, events, log, signal, callTimeoutMs: timeoutMs = 30_000 } = this.#options;
    try {
      const { health, storageHealth } = await driver.capabilities(signal);
      if (storageHealth) {
        const { backendHealth } = await driver.node.nodeGetStorageHealth({}, { signal, timeoutMs });
        this.#tell(`driver ${driver.name}`, textOf(backendHealth, StorageHealthErrorType), (type, text) =>
          events.node({ type, reason: `StorageCondition${text.word}`, message: `driver ${driver.name}: ${text.what}` }),
        );
      }
      if (!health) return;
      for (const publication of publications().filter(({ volume }) => volume.driver === driver.name)) {
        const { pod, volume, volumeName, targetPath, stagingPath } = publication;
        const { volumeHealth } = await driver.node.nodeGetVolumeHealth(
          { volumeId: volume.handle, volumePublishPath: targetPath, stagingTargetPath: stagingPath },
          { signal, timeoutMs },
        );
        const problems = textOf(volumeHealth?.healthStatuses ?? [], VolumeHealthErrorType);
        this.#tell(keyOf(publication), problems, (type, text) => {
          const message = `Volume ${volumeName}: ${text.what}`;
          if (type === "Normal") events.normal(pod, `VolumeCondition${text.word}`, message);
          else events.warning(pod, `VolumeCondition${text.word}`, message);
        });
      }
    } catch (error) {
      // What was told stays: no answer says nothing.
      if (!signal.aborted)
        log.debug({ driver: driver.name, error: messageOf(error) }, "the health of volumes is not known now");
    }
  }

  #tell(
    key: string,
    problems: string,
    tell: (type: "Normal" | "Warning", text: { readonly word: string; readonly what: string }) => void,
  ): void {
    const before = this.#told.get(key) ?? "";
    if (before === problems) return;
    if (problems === "") this.#told.delete(key);
    else this.#told.set(key, problems);
    if (problems === "") tell("Normal", { word: "Normal", what: "is well again" });
    else tell("Warning", { word: "Abnormal", what: problems });
  }
}

const keyOf = ({ pod, volumeName }: CsiPublication): string => `volume ${uidOf(pod)}/${volumeName}`;
