import type { Container, Pod, Secret, Volume } from "@tripod/api/kubernetes";
import type { Logger } from "@tripod/base";
import { TaskOwner } from "@tripod/base";
import type { SandboxConfigInit } from "../cri/cri-client.ts";
import type { EnsureImageInput, PresentImage } from "../images/image-manager.ts";
import type { PodContext } from "./pod-context.ts";

type Pull =
  | { readonly image: string; readonly state: "running" }
  | { readonly image: string; readonly state: "done"; readonly present: PresentImage }
  | { readonly image: string; readonly state: "failed"; readonly error: unknown };

/** An image without which a container cannot start. */
interface WantedImage {
  /** Among the Pod's. */
  readonly key: string;
  readonly container: EnsureImageInput["container"];
}

/** The images of a container: its own, and those of its volumes by their names. */
export interface ContainerImages {
  readonly own: PresentImage;
  readonly volumes: ReadonlyMap<string, PresentImage>;
}

/** What came of a container's images; undefined while one of them is being pulled. */
export type ImagesOutcome = { readonly images: ContainerImages } | { readonly error: unknown } | undefined;

const volumeKey = (name: string): string => `volume/${name}`;

/** The Pod's volumes that are images and that the container mounts. */
const imageVolumesOf = (pod: Pod, { volumeMounts = [] }: Container): Volume[] =>
  (pod.spec?.volumes ?? []).filter(
    ({ name, image }) => image !== undefined && volumeMounts.some((each) => each.name === name),
  );

const wantedBy = (pod: Pod, container: Container): WantedImage[] => [
  { key: container.name, container },
  ...imageVolumesOf(pod, container).map(({ name, image: { reference = "", pullPolicy } = {} }) => ({
    key: volumeKey(name),
    container: { image: reference, ...(pullPolicy === undefined ? {} : { imagePullPolicy: pullPolicy }) },
  })),
];

/** The names of the pull secrets that the Pod asks for and that do not exist. */
function absentSecrets(pod: Pod, found: readonly Secret[]): string {
  const names = (pod.spec?.imagePullSecrets ?? []).map(({ name }) => name ?? "").filter((name) => name !== "");
  return names.filter((name) => !found.some(({ metadata }) => metadata?.name === name)).join(", ");
}

/**
 * The pulls of one Pod's images, its volumes' too. They run beside the worker, which is woken when one ends: a slow registry holds nothing
 * else up.
 */
export class ImagePulls {
  readonly #context: PodContext;
  readonly #onDone: () => void;
  readonly #pulls = new Map<string, Pull>();
  /** What each container wanted last, by its name. */
  readonly #wanted = new Map<string, readonly WantedImage[]>();
  readonly #tasks: TaskOwner;

  constructor(context: PodContext, onDone: () => void, log: Logger) {
    this.#context = context;
    this.#onDone = onDone;
    this.#tasks = new TaskOwner("image pulls", log);
  }

  /** Whether an image of the container is being pulled now. */
  isRunning(name: string): boolean {
    return this.#wanted.get(name)?.some(({ key }) => this.#pulls.get(key)?.state === "running") === true;
  }

  /**
   * What came of the images of each container, pulled side by side. An outcome is handed out once, so that each start of a container looks
   * at its images anew.
   */
  async take(
    pod: Pod,
    containers: readonly Container[],
    sandboxConfig: SandboxConfigInit,
  ): Promise<readonly ImagesOutcome[]> {
    for (const container of containers) this.#wanted.set(container.name, wantedBy(pod, container));
    const wanted = containers.flatMap(({ name }) => this.#wanted.get(name) ?? []);
    const begun = wanted.map((each) => this.#begin(pod, each, sandboxConfig));
    // Images that are here already need no second round of the worker.
    await Promise.race([Promise.all(begun), new Promise((later) => setTimeout(later, quickMs))]);
    const outcomes = containers.map((container) => this.#outcome(pod, container));
    for (const [index, { name }] of containers.entries())
      if (outcomes[index] !== undefined) for (const { key } of this.#wanted.get(name) ?? []) this.#pulls.delete(key);
    return outcomes;
  }

  #outcome(pod: Pod, container: Container): ImagesOutcome {
    const presents = new Map<string, PresentImage>();
    let failed: { readonly error: unknown } | undefined;
    for (const { key } of this.#wanted.get(container.name) ?? []) {
      const pull = this.#pulls.get(key);
      if (pull === undefined || pull.state === "running") return undefined;
      if (pull.state === "done") presents.set(key, pull.present);
      else failed ??= pull;
    }
    const own = presents.get(container.name);
    if (failed !== undefined || own === undefined) return failed;
    const volumes = imageVolumesOf(pod, container).flatMap(({ name }) => {
      const present = presents.get(volumeKey(name));
      return present === undefined ? [] : [[name, present] as const];
    });
    return { images: { own, volumes: new Map(volumes) } };
  }

  /** Begins a pull, unless it runs or has ended; resolves with its end. */
  async #begin(pod: Pod, { key, container }: WantedImage, sandboxConfig: SandboxConfigInit): Promise<void> {
    const image = container.image ?? "";
    if (this.#pulls.get(key)?.image === image) return;
    const { events, images, objects } = this.#context;
    const { promise: settled, resolve } = Promise.withResolvers<void>();
    const running: Pull = { image, state: "running" };
    this.#pulls.set(key, running);
    const end = (outcome: Pull): void => {
      // Unless another image is wanted by now.
      if (this.#pulls.get(key) === running) this.#pulls.set(key, outcome);
    };
    this.#tasks.run(`pull ${image}`, async (signal) => {
      try {
        const secrets = await objects.pullSecrets(pod);
        const missing = absentSecrets(pod, secrets);
        if (missing !== "") {
          const message = `Unable to retrieve some image pull secrets (${missing}); attempting to pull the image may not succeed.`;
          events.warning(pod, "FailedToRetrieveImagePullSecret", message, container.name);
        }
        const present = await images.ensure({ pod, container, sandboxConfig, secrets, signal });
        end({ image, state: "done", present });
      } catch (error) {
        end({ image, state: "failed", error });
      } finally {
        resolve();
        this.#onDone();
      }
    });
    await settled;
  }

  stop(): Promise<void> {
    return this.#tasks.stop();
  }
}

/** How long a worker waits for images before it turns to the Pod's other containers. */
const quickMs = 20;
