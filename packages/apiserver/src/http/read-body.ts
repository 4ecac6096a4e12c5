import type { IncomingMessage } from "node:http";
import { ApiError } from "./api-error.ts";

/** Upstream's limit of a request's body. */
const maxBodyBytes = 3 * 1024 * 1024;

/** The whole body; one that is too large is refused before it is read to its end. */
export async function readBody(request: IncomingMessage): Promise<Buffer> {
  const tooLarge = (): ApiError =>
    new ApiError("exhausted", {
      code: 413,
      reason: "RequestEntityTooLarge",
      message: `Request entity too large: limit is ${maxBodyBytes}`,
    });
  if (Number(request.headers["content-length"] ?? 0) > maxBodyBytes) throw tooLarge();
  const chunks: Buffer[] = [];
  let size = 0;
  // The connection must outlive a refusal, so that the client reads it.
  const body: AsyncIterable<Buffer> = request.iterator({ destroyOnReturn: false });
  for await (const chunk of body) {
    size += chunk.length;
    if (size > maxBodyBytes) throw tooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
