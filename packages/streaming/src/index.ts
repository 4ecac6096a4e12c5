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
