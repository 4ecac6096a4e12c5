import { connect, type IncomingHttpHeaders } from "node:http2";
import { TripodError } from "@tripod/base";

const servingStatus = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];

/** A length-prefixed gRPC message with the field 1 of HealthCheckRequest. */
function healthRequest(service: string): Buffer {
  const name = Buffer.from(service).subarray(0, 127);
  const message = name.length === 0 ? Buffer.alloc(0) : Buffer.concat([Buffer.from([0x0a, name.length]), name]);
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** Asks grpc.health.v1.Health/Check over plain HTTP/2 and resolves when the answer is SERVING. */
export function checkGrpcHealth(
  address: { readonly host: string; readonly port: number },
  { service, timeoutMs }: { readonly service: string; readonly timeoutMs: number },
): Promise<void> {
  const { host, port } = address;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const session = connect(`http://${host.includes(":") ? `[${host}]` : host}:${port}`);
  const fail = (message: string): void => reject(new TripodError("unavailable", `grpc health check: ${message}`));
  const timer = setTimeout(() => fail(`no answer within ${timeoutMs / 1000}s`), timeoutMs);
  session.on("error", (error) => fail(error.message));
  const stream = session.request({
    ":method": "POST",
    ":path": "/grpc.health.v1.Health/Check",
    "content-type": "application/grpc",
    te: "trailers",
  });
  const chunks: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  let status = "";
  let why = "";
  const noteStatus = (headers: IncomingHttpHeaders): void => {
    status = headers["grpc-status"]?.toString() ?? status;
    why = headers["grpc-message"]?.toString() ?? why;
  };
  stream.on("response", noteStatus);
  stream.on("trailers", noteStatus);
  stream.on("error", (error) => fail(error.message));
  stream.on("end", () => {
    if (status !== "" && status !== "0") {
      fail(`status ${status}: ${why}`);
      return;
    }
    // HealthCheckResponse has one field: status, number 1, a varint below 128.
    const body = Buffer.concat(chunks).subarray(5);
    const serving = body.length >= 2 && body[0] === 0x08 ? (body[1] ?? 0) : 0;
    if (serving === 1) resolve();
    else fail(`service is ${servingStatus[serving] ?? serving}`);
  });
  stream.end(healthRequest(service));
  return promise.finally(() => {
    clearTimeout(timer);
    session.destroy();
  });
}
