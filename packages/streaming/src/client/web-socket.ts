import { TripodError } from "@tripod/base";
import { WebSocket } from "ws";
import { errorOfResponse, type StreamingTarget } from "./upgrade.ts";

const protocolHeader = "sec-websocket-protocol";

/** An open WebSocket and the subprotocol that the server picked. */
export interface OpenWebSocket {
  /** Paused until someone listens. */
  readonly ws: WebSocket;
  readonly protocol: string;
}

/**
 * Opens a WebSocket with one of the subprotocols. They are agreed on here and not in ws, which refuses names with a slash, as
 * Kubernetes' SPDY/3.1+portforward.k8s.io has one.
 */
export function openWebSocket(target: StreamingTarget, protocols: readonly string[]): Promise<OpenWebSocket> {
  let protocol = "";
  const ws = new WebSocket(target.url.replace(/^http/, "ws"), {
    perMessageDeflate: false,
    ...target.tls,
    ...(target.headers === undefined ? {} : { headers: target.headers }),
    finishRequest(request) {
      request.setHeader(protocolHeader, protocols.join(", "));
      request.prependListener("upgrade", (response) => {
        protocol = response.headers[protocolHeader] ?? "";
        delete response.headers[protocolHeader];
      });
      request.end();
    },
  });
  const onAbort = (): void => ws.terminate();
  return new Promise<OpenWebSocket>((resolve, reject) => {
    target.signal?.addEventListener("abort", onAbort, { once: true });
    ws.once("open", () => {
      ws.pause();
      if (protocols.includes(protocol)) resolve({ ws, protocol });
      else {
        ws.terminate();
        reject(
          new TripodError("invalid", `connect for streaming: server picked subprotocol ${JSON.stringify(protocol)}`),
        );
      }
    });
    ws.once("unexpected-response", (request, response) => {
      void errorOfResponse(response).then((error) => {
        reject(error);
        request.destroy();
      });
    });
    ws.on("error", (cause) =>
      reject(new TripodError("unavailable", `connect for streaming: ${cause.message}`, { cause })),
    );
  }).finally(() => target.signal?.removeEventListener("abort", onAbort));
}
