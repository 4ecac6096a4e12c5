import type { Duplex } from "node:stream";
import { encodeFrame, type Frame } from "./frame.ts";

/** Writes one message; resolves when the stream wants more, or is gone. One write a message: the peer's mux may depend on it. */
export function writeMessage(stream: Duplex, frame: Frame & { readonly data: Uint8Array }): Promise<void> | undefined {
  if (stream.destroyed || stream.writableEnded) return undefined;
  if (stream.write(encodeFrame(frame))) return undefined;
  return new Promise<void>((resolve) => {
    const done = (): void => {
      stream.off("drain", done);
      stream.off("close", done);
      resolve();
    };
    stream.on("drain", done);
    stream.on("close", done);
  });
}
