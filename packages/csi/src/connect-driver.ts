import type { DescService } from "@bufbuild/protobuf";
import { Controller, GroupController, Identity, Node, SnapshotMetadata } from "@tripod/api/csi";
import { type CallOptions, type Client, GrpcChannel } from "@tripod/grpc";
import { parseEndpoint } from "./endpoint.ts";

export interface ConnectDriverOptions {
  /** The deadline of a call that names none, in milliseconds; 120,000 (the kubelet's) unless told. */
  readonly timeoutMs?: number;
}

/** Typed clients of a driver's services. Each call has a deadline; failures are TripodErrors with the code of the gRPC status. */
export interface CsiDriverClient extends Disposable {
  readonly socket: string;
  readonly identity: Client<typeof Identity>;
  readonly controller: Client<typeof Controller>;
  readonly groupController: Client<typeof GroupController>;
  readonly snapshotMetadata: Client<typeof SnapshotMetadata>;
  readonly node: Client<typeof Node>;
}

/** Clients over one connection to a driver's socket (a path or a unix:// endpoint); it is made at the first call and again after it broke. */
export function connectDriver(endpoint: string, options: ConnectDriverOptions = {}): CsiDriverClient {
  const socket = parseEndpoint(endpoint);
  const timeoutMs = options.timeoutMs ?? 120_000;
  const channel = new GrpcChannel({ socket, traced: (method) => method !== "Identity/Probe" });
  return {
    socket,
    identity: withDeadline(channel.client(Identity), timeoutMs),
    controller: withDeadline(channel.client(Controller), timeoutMs),
    groupController: withDeadline(channel.client(GroupController), timeoutMs),
    snapshotMetadata: withDeadline(channel.client(SnapshotMetadata), timeoutMs),
    node: withDeadline(channel.client(Node), timeoutMs),
    [Symbol.dispose]: () => channel[Symbol.dispose](),
  };
}

function withDeadline<S extends DescService>(client: Client<S>, timeoutMs: number): Client<S> {
  type Call = (request: unknown, options?: CallOptions) => unknown;
  const calls = Object.entries(client as Readonly<Record<string, Call>>); // a client is an object of calls
  return Object.fromEntries(
    calls.map(([name, call]) => [
      name,
      (request: unknown, given?: CallOptions) => call(request, { timeoutMs, ...given }),
    ]),
  ) as Client<S>; // the same calls under the same names
}
