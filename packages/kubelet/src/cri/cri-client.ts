import { ImageService, RuntimeService } from "@tripod/api/cri";
import { type Client, GrpcChannel } from "@tripod/grpc";

export type RuntimeClient = Client<typeof RuntimeService>;
export type ImageClient = Client<typeof ImageService>;

/** The two CRI services of one runtime. */
export interface CriClient extends Disposable {
  readonly runtime: RuntimeClient;
  readonly images: ImageClient;
}

/** The plain object that a request field accepts. */
type Requested<K extends keyof RuntimeClient, F extends string> = NonNullable<
  Extract<Parameters<RuntimeClient[K]>[0], { [name in F]?: unknown }>[F]
>;
export type SandboxConfigInit = Requested<"runPodSandbox", "config">;
export type ContainerConfigInit = Requested<"createContainer", "config">;
export type MountInit = NonNullable<ContainerConfigInit["mounts"]>[number];

/** Calls that change nothing and come often: their spans would drown the ones that tell what happened to a Pod. */
const quiet =
  /\/(List\w*|Stream\w*|PodSandboxStatus|ContainerStatus|ImageStatus|Status|Version|ImageFsInfo|ContainerStats|PodSandboxStats|GetContainerEvents|RuntimeConfig|ExecSync)$/;

/** Connects to a runtime's unix socket; the connection is made at the first call and again after it broke. */
export function connectCri(socket: string): CriClient {
  const channel = new GrpcChannel({ socket, traced: (method) => !quiet.test(method) });
  return {
    runtime: channel.client(RuntimeService),
    images: channel.client(ImageService),
    [Symbol.dispose]: () => channel[Symbol.dispose](),
  };
}
