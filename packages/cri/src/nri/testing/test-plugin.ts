import { once } from "node:events";
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import { type Container, Event, Plugin, type PodSandbox, Runtime } from "@tripod/api/nri";
import { type Client, implement, type ServiceImpl, TtrpcClient, TtrpcConnection } from "@tripod/ttrpc";
import { Mux } from "../mux.ts";

/** A real plugin, over the real socket. */
export interface TestPlugin extends AsyncDisposable {
  readonly runtime: Client<typeof Runtime>;
  /** What it was told, as "createContainer NAME". */
  readonly heard: string[];
  /** The state that it was given, in parts. */
  readonly synchronized: Promise<{ pods: PodSandbox[]; containers: Container[]; parts: number }>;
  /** Resolves when the runtime ended the connection. */
  readonly closed: Promise<void>;
}

export interface TestPluginOptions {
  readonly index: string;
  readonly name: string;
  readonly events?: readonly Event[];
  readonly handlers?: ServiceImpl<typeof Plugin>;
  /** Serves what plugins of before NRI 0.12 do: one method for all that is only told. */
  readonly old?: boolean;
}

const oldMethods = ["createContainer", "updateContainer", "stopContainer"];

const all = Object.values(Event).filter((event) => event !== Event.UNKNOWN && event !== Event.LAST);

/** Connects a plugin and registers it; resolves when it has been synchronized. */
export async function startTestPlugin(trunk: string | Duplex, options: TestPluginOptions): Promise<TestPlugin> {
  const stream = typeof trunk === "string" ? connect(trunk) : trunk;
  if (typeof trunk === "string") await once(stream, "connect");
  const mux = new Mux(stream);
  const heard: string[] = [];
  const pods: PodSandbox[] = [];
  const containers: Container[] = [];
  let parts = 0;
  const synchronized = Promise.withResolvers<{ pods: PodSandbox[]; containers: Container[]; parts: number }>();
  const { handlers = {} } = options;
  const events = (options.events ?? all).reduce<number>((mask, event) => mask | (1 << (event - 1)), 0);
  const note =
    <Q extends { pod?: PodSandbox; container?: Container }>(method: string, handler?: unknown) =>
    async (request: Q, context: unknown): Promise<object> => {
      heard.push(`${method} ${request.container?.name ?? request.pod?.name}`);
      const answer = handler as ((request: Q, context: unknown) => Promise<object>) | undefined; // the method's own
      return (await answer?.(request, context)) ?? {};
    };
  const told = Plugin.methods.filter(({ localName }) => options.old !== true || oldMethods.includes(localName));
  const noted = Object.fromEntries(
    told.map(({ localName }) => [localName, note(localName, handlers[localName as keyof ServiceImpl<typeof Plugin>])]),
  );
  const connection = new TtrpcConnection(mux.open(1), {
    services: [
      implement(Plugin, {
        ...noted,
        configure: handlers.configure ?? (async () => ({ events })),
        async synchronize(request, context) {
          parts += 1;
          pods.push(...request.pods);
          containers.push(...request.containers);
          if (request.more) return { more: true };
          const reply = (await handlers.synchronize?.(request, context)) ?? {};
          synchronized.resolve({ pods, containers, parts });
          return reply;
        },
        async stateChange({ event, pod, container }) {
          heard.push(`${event} ${container?.name ?? pod?.name}`);
          return {};
        },
        shutdown: async () => ({}),
      }),
    ],
  });
  const client = new TtrpcClient(mux.open(2), { peer: "runtime" });
  const runtime = client.client(Runtime);
  await runtime.registerPlugin({ pluginName: options.name, pluginIdx: options.index });
  return {
    runtime,
    heard,
    synchronized: synchronized.promise,
    closed: client.closed,
    async [Symbol.asyncDispose]() {
      client[Symbol.dispose]();
      await connection[Symbol.asyncDispose]();
    },
  };
}
