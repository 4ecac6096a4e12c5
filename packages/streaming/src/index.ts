export { execOverSpdy, execOverWebSocket, type RemoteCommandOptions } from "./client/command.ts";
export {
  type PortForwardClient,
  portForwardOverChannels,
  portForwardOverSpdy,
  portForwardOverWebSocket,
} from "./client/port-forward.ts";
export type { StreamingTarget } from "./client/upgrade.ts";
export { proxyUpgrade, type ProxyUpgradeOptions, type UpgradeTarget } from "./proxy-upgrade.ts";
export { refuseUpgrade } from "./refuse-upgrade.ts";
export { StreamingServer, type StreamingServerOptions } from "./server.ts";
export { SpdySession, type SpdySessionOptions } from "./spdy/session.ts";
export type { SpdyStream } from "./spdy/stream.ts";
export type {
  AttachRequest,
  ClientTls,
  ExecRequest,
  ExecResult,
  PortForwardRequest,
  RemoteStreams,
  StreamingHandlers,
  TerminalSize,
} from "./types.ts";
