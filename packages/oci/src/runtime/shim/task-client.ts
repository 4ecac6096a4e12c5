import { TaskV2, TaskV3 } from "@tripod/api/containerd-task";
import { type Client, connectTtrpc, type TtrpcClient } from "@tripod/ttrpc";
import type { ShimAddress } from "./shim-address.ts";

/** A shim's task service; both versions have the same calls. */
export type TaskService = Client<typeof TaskV2>;

/** A connection to a shim. */
export interface TaskClient extends Disposable {
  readonly task: TaskService;
  /** Resolves when the connection is gone: with the shim, unless we closed it. */
  readonly closed: Promise<void>;
}

/** Connects to a shim; "unavailable" where there is none any more. */
export async function connectTask(address: ShimAddress, namespace: string): Promise<TaskClient> {
  const connection: TtrpcClient = await connectTtrpc({
    socket: address.socket,
    metadata: { "containerd-namespace-ttrpc": namespace },
  });
  // Version 3 is version 2 under another name.
  const task = connection.client((address.version === 3 ? TaskV3 : TaskV2) as typeof TaskV2);
  return { task, closed: connection.closed, [Symbol.dispose]: () => connection[Symbol.dispose]() };
}
