export { connectTtrpc, TtrpcClient, type TtrpcClientOptions, type TtrpcConnectOptions } from "./client.ts";
export { TtrpcConnection, type TtrpcConnectionOptions } from "./connection.ts";
export { serveTtrpc, type ServeTtrpcOptions, type TtrpcServer } from "./server.ts";
export {
  type CallContext,
  type CallOptions,
  type Client,
  implement,
  type ServiceBinding,
  type ServiceImpl,
} from "./service.ts";
