import type { Image } from "@tripod/api/cri";
import type { Container, Pod, Secret } from "@tripod/api/kubernetes";
import { codeOf, KeyedMutex, Limiter, messageOf } from "@tripod/base";
import type { ImageUser } from "../containers/security-context.ts";
import { StartError } from "../containers/start-error.ts";
import type { CriClient, SandboxConfigInit } from "../cri/cri-client.ts";
import type { PodEvents } from "../objects/pod-events.ts";
import { uidOf } from "../pods/pod-facts.ts";
import { pullFailure } from "./pull-failure.ts";
import { pullPolicyOf } from "./pull-policy.ts";
import { credentialsFor } from "./registry-credentials.ts";

/** An image that is on this node. */
export interface PresentImage {
  /** What CreateContainer is told. */
  readonly imageRef: string;
  readonly user: ImageUser;
}

export interface EnsureImageInput {
  readonly pod: Pod;
  /** Whose image it is; without a name, a volume's of the Pod. */
  readonly container: Partial<Pick<Container, "name">> & Pick<Container, "image" | "imagePullPolicy">;
  readonly sandboxConfig: SandboxConfigInit;
  /** The Pod's pull secrets, as far as they exist. */
  readonly secrets: readonly Secret[];
  readonly signal: AbortSignal;
}

interface PullBackoff {
  readonly delayMs: number;
  readonly retryAtMs: number;
  readonly message: string;
}

const initialBackoffMs = 10_000;
const maxBackoffMs = 300_000;
/** How many images are pulled at once; layers of one image are pulled side by side by the runtime anyway. */
const parallelPulls = 4;

const seconds = (sinceMs: number): string => `${((performance.now() - sinceMs) / 1000).toFixed(3)}s`;

const presentImage = (image: Image): PresentImage => ({
  imageRef: image.id,
  user: { uid: image.uid === undefined ? undefined : Number(image.uid.value), username: image.username },
});

/** Brings images to the node by each container's pull policy, and keeps off a registry that refuses. */
export class ImageManager {
  readonly #cri: CriClient;
  readonly #events: PodEvents;
  readonly #limiter = new Limiter(parallelPulls);
  readonly #locks = new KeyedMutex();
  /** By Pod and image. */
  readonly #backoffs = new Map<string, PullBackoff>();

  constructor(cri: CriClient, events: PodEvents) {
    this.#cri = cri;
    this.#events = events;
  }

  /** The image of a container, pulled when the policy says so; a StartError with upstream's reasons when it cannot be had. */
  ensure(input: EnsureImageInput): Promise<PresentImage> {
    const image = input.container.image ?? "";
    // One after another for one image: the second finds what the first has pulled.
    return this.#locks.run(image, () => this.#ensure(input, image));
  }

  async #ensure(input: EnsureImageInput, image: string): Promise<PresentImage> {
    const { pod, container } = input;
    input.signal.throwIfAborted();
    const policy = pullPolicyOf(container);
    if (policy !== "Always") {
      const found = await this.#inspect(input, image);
      if (found !== undefined) {
        const message = `Container image "${image}" already present on machine`;
        this.#events.normal(pod, "Pulled", message, container.name);
        return presentImage(found);
      }
    }
    if (policy === "Never") {
      const message = `Container image "${image}" is not present with pull policy of Never`;
      this.#events.warning(pod, "ErrImageNeverPull", message, container.name);
      throw new StartError("ErrImageNeverPull", message);
    }
    this.#holdBack(input, image);
    return this.#pull(input, image);
  }

  /** Forgets the Pod's failures. */
  forget(podUid: string): void {
    for (const key of this.#backoffs.keys()) if (key.startsWith(`${podUid}/`)) this.#backoffs.delete(key);
  }

  async #find(image: string): Promise<Image | undefined> {
    return (await this.#cri.images.imageStatus({ image: { image } })).image;
  }

  /** Looks for the image; a name that is none and a runtime that cannot tell are told as Events, and as the reason why the container waits. */
  async #inspect({ pod, container, signal }: EnsureImageInput, image: string): Promise<Image | undefined> {
    try {
      return await this.#find(image);
    } catch (cause) {
      signal.throwIfAborted();
      const isName = codeOf(cause) === "invalid";
      const message = `Failed to ${isName ? "parse the image name" : "inspect image"} "${image}": ${messageOf(cause)}`;
      const reason = isName ? "InvalidImageName" : "ImageInspectError";
      this.#events.warning(pod, "InspectFailed", message, container.name);
      this.#events.warning(pod, "Failed", `Error: ${reason}`, container.name);
      throw new StartError(reason, message, { cause, retryAtMs: Date.now() + initialBackoffMs });
    }
  }

  #holdBack({ pod, container }: EnsureImageInput, image: string): void {
    const backoff = this.#backoffs.get(`${uidOf(pod)}/${image}`);
    if (backoff === undefined || backoff.retryAtMs <= Date.now()) return;
    const message = `Back-off pulling image "${image}": ${backoff.message}`;
    this.#events.normal(pod, "BackOff", `Back-off pulling image "${image}"`, container.name);
    this.#events.warning(pod, "Failed", "Error: ImagePullBackOff", container.name);
    throw new StartError("ImagePullBackOff", message, { retryAtMs: backoff.retryAtMs });
  }

  async #pull(input: EnsureImageInput, image: string): Promise<PresentImage> {
    const { pod, container, signal } = input;
    const key = `${uidOf(pod)}/${image}`;
    const askedAt = performance.now();
    this.#events.normal(pod, "Pulling", `Pulling image "${image}"`, container.name);
    try {
      let startedAt = askedAt;
      const imageRef = await this.#limiter.run(() => {
        startedAt = performance.now();
        return this.#pullWithCredentials(input, image);
      });
      const found = (await this.#find(imageRef)) ?? (await this.#find(image));
      const took = `${seconds(startedAt)} (${seconds(askedAt)} including waiting)`;
      const size = found === undefined ? "" : ` Image size: ${found.size} bytes.`;
      this.#events.normal(pod, "Pulled", `Successfully pulled image "${image}" in ${took}.${size}`, container.name);
      this.#backoffs.delete(key);
      return found === undefined ? { imageRef, user: { uid: undefined, username: "" } } : presentImage(found);
    } catch (cause) {
      signal.throwIfAborted();
      throw this.#failure(input, { image, key, cause });
    }
  }

  #failure(
    { pod, container }: EnsureImageInput,
    { image, key, cause }: { readonly image: string; readonly key: string; readonly cause: unknown },
  ): StartError {
    const { reason, why, message } = pullFailure(image, cause);
    const before = this.#backoffs.get(key);
    const delayMs = before === undefined ? initialBackoffMs : Math.min(maxBackoffMs, before.delayMs * 2);
    const retryAtMs = Date.now() + delayMs;
    this.#backoffs.set(key, { delayMs, retryAtMs, message: `${reason}: ${why}` });
    this.#events.warning(pod, "Failed", `Failed to pull image "${image}": ${why}`, container.name);
    this.#events.warning(pod, "Failed", `Error: ${reason}`, container.name);
    return new StartError(reason, message, { cause, retryAtMs });
  }

  /** Tries each credential that is meant for the registry, or none when there is none; the last refusal counts. */
  async #pullWithCredentials({ sandboxConfig, secrets, signal }: EnsureImageInput, image: string): Promise<string> {
    const credentials = credentialsFor(image, secrets);
    const request = { image: { image, userSpecifiedImage: image }, sandboxConfig };
    for (const [index, auth] of credentials.entries()) {
      try {
        return (await this.#cri.images.pullImage({ ...request, auth }, { signal })).imageRef;
      } catch (error) {
        if (index === credentials.length - 1) throw error;
      }
    }
    return (await this.#cri.images.pullImage(request, { signal })).imageRef;
  }
}
