import type { CriContext } from "../context.ts";
import type { ContainerRecord } from "../records/container-record.ts";

/** The containers of one sandbox, in whatever phase. */
export const containersOf = (context: Pick<CriContext, "containers">, sandboxId: string): ContainerRecord[] =>
  context.containers.list().filter((container) => container.sandboxId === sandboxId);
