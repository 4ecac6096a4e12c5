import type { Container, Pod, Secret } from "@tripod/api/kubernetes";
import type { Logger } from "@tripod/base";
import { TaskOwner } from "@tripod/base";
import type { SandboxConfigInit } from "../cri/cri-client.ts";
import type { PresentImage } from "../images/image-manager.ts";
import type { PodContext } from "./pod-context.ts";

type Pull =
  | { readonly image: string; readonly state: "running" }
  | { readonly image: string; readonly state: "done"; readonly present: PresentImage }
  | { readonly image: string; readonly state: "failed"; readonly error: unknown };

/** The names of the pull secrets that the Pod asks for and that do not exist. */
function absentSecrets(pod: Pod, found: readonly Secret[]): string {
  const names = (pod.spec?.imagePullSecrets ?? []).map(({ name }) => name ?? "").filter((name) => name !== "");
  return names.filter((name) => !found.some(({ metadata }) => metadata?.name === name)).join(", ");
}

/** The pulls of one Pod's images. They run beside the worker, which is woken when one ends: a slow registry holds nothing else up. */
export class ImagePulls {
  readonly #context: PodContext;
  readonly #onDone: () => void;
  readonly #pulls = new Map<string, Pull>();
  readonly #tasks: TaskOwner;

  constructor(context: PodContext, onDone: () => void, log: Logger) {
    this.#context = context;
    this.#onDone = onDone;
    this.#tasks = new TaskOwner("image pulls", log);
  }

  /** Whether the container's image is being pulled now. */
  isRunning(name: string): boolean {
    return this.#pulls.get(name)?.state === "running";
  }

  /**
   * The image of a container, or undefined while it is being pulled. An outcome is handed out once, so that each start of a container looks
   * at the image anew; a failed pull is thrown.
   */
  async take(pod: Pod, container: Container, sandboxConfig: SandboxConfigInit): Promise<PresentImage | undefined> {
    const image = container.image ?? "";
    const known = this.#pulls.get(container.name);
    if (known === undefined || known.image !== image) {
      const { events, images, objects } = this.#context;
      const { promise: settled, resolve } = Promise.withResolvers<void>();
      this.#pulls.set(container.name, { image, state: "running" });
      this.#tasks.run(`pull ${image}`, async (signal) => {
        try {
          const secrets = await objects.pullSecrets(pod);
          const missing = absentSecrets(pod, secrets);
          if (missing !== "") {
            const message = `Unable to retrieve some image pull secrets (${missing}); attempting to pull the image may not succeed.`;
            events.warning(pod, "FailedToRetrieveImagePullSecret", message, container.name);
          }
          const present = await images.ensure({ pod, container, sandboxConfig, secrets, signal });
          this.#pulls.set(container.name, { image, state: "done", present });
        } catch (error) {
          this.#pulls.set(container.name, { image, state: "failed", error });
        } finally {
          resolve();
          this.#onDone();
        }
      });
      // An image that is here already needs no second round of the worker.
      await Promise.race([settled, new Promise((later) => setTimeout(later, quickMs))]);
    }
    const outcome = this.#pulls.get(container.name);
    if (outcome === undefined || outcome.state === "running") return undefined;
    this.#pulls.delete(container.name);
    if (outcome.state === "failed") throw outcome.error;
    return outcome.present;
  }

  stop(): Promise<void> {
    return this.#tasks.stop();
  }
}

/** How long a worker waits for an image before it turns to the Pod's other containers. */
const quickMs = 20;
