export { type CallOptions, type Client, type ConnectOptions, GrpcChannel } from "./client.ts";
export {
  type CallContext,
  type GrpcServer,
  implement,
  type ServeOptions,
  serveGrpc,
  type ServiceBinding,
  type ServiceImpl,
  socketIsLive,
} from "./server.ts";
export { codeOfGrpcStatus, grpcStatusName, grpcStatusOf, WordedError } from "./status.ts";
