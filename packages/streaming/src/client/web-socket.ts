import { TripodError } from "@tripod/base";
import { WebSocket } from "ws";
import { errorOfResponse, type StreamingTarget } from "./upgrade.ts";

/** Opens a WebSocket with one of the subprotocols; it is paused until someone listens. */
export function openWebSocket(target: StreamingTarget, protocols: readonly string[]): Promise<WebSocket> {
  const ws = new WebSocket(target.url.replace(/^http/, "ws"), [...protocols], {
    perMessageDeflate: false,
    ...target.tls,
    ...(target.headers === undefined ? {} : { headers: target.headers }),
  });
  const onAbort = (): void => ws.terminate();
  return new Promise<WebSocket>((resolve, reject) => {
    target.signal?.addEventListener("abort", onAbort, { once: true });
    ws.once("open", () => {
      ws.pause();
      resolve(ws);
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
