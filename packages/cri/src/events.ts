import type { MessageInitShape } from "@bufbuild/protobuf";
import { type ContainerEventResponseSchema, type ContainerEventType } from "@tripod/api/cri";
import { AsyncQueue, TripodError } from "@tripod/base";
import { nowNs } from "./now.ts";

export type ContainerEvent = MessageInitShape<typeof ContainerEventResponseSchema>;

/** A reader that falls this far behind is cut off; it lists again anyway when it reconnects. */
const maxWaiting = 1000;

/** Sends what happens to containers and sandboxes to everyone who listens at that moment. */
export class ContainerEvents {
  readonly #describe: (sandboxId: string) => Pick<ContainerEvent, "podSandboxStatus" | "containersStatuses">;
  readonly #listeners = new Set<AsyncQueue<ContainerEvent>>();

  /** `describe`: the states of a sandbox and its containers that go along with each event. */
  constructor(describe: (sandboxId: string) => Pick<ContainerEvent, "podSandboxStatus" | "containersStatuses">) {
    this.#describe = describe;
  }

  emit(type: ContainerEventType, containerId: string, sandboxId: string): void {
    if (this.#listeners.size === 0) return;
    const event: ContainerEvent = {
      containerId,
      containerEventType: type,
      createdAt: nowNs(),
      ...this.#describe(sandboxId),
    };
    for (const listener of this.#listeners) {
      if (listener.length < maxWaiting) listener.push(event);
      else {
        listener.fail(
          new TripodError("exhausted", `events: the reader is ${maxWaiting} behind; ask again and list what there is`),
        );
        this.#listeners.delete(listener);
      }
    }
  }

  /** Every event from now on, until `signal` is aborted or close() is called. */
  async *listen(signal: AbortSignal): AsyncGenerator<ContainerEvent, void, undefined> {
    const queue = new AsyncQueue<ContainerEvent>();
    const onAbort = (): void => queue.close();
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) queue.close();
    this.#listeners.add(queue);
    try {
      yield* queue;
    } finally {
      this.#listeners.delete(queue);
      signal.removeEventListener("abort", onAbort);
    }
  }

  close(): void {
    for (const listener of this.#listeners) listener.close();
  }
}
