import { Duplex } from "node:stream";
import type { WebSocket } from "ws";

/**
 * The binary messages of a WebSocket as one stream of bytes. Its end closes the WebSocket, and the WebSocket's close ends and destroys it.
 * (ws has such a stream too, but that one's `end()` never calls back once the connection is gone.)
 */
export function webSocketByteStream(ws: WebSocket): Duplex {
  const stream = new Duplex({
    allowHalfOpen: true,
    read: () => ws.resume(),
    write: (chunk: Buffer, _encoding, done) => ws.send(chunk, { binary: true }, done),
    writev: (chunks, done) =>
      ws.send(Buffer.concat(chunks.map(({ chunk }) => chunk as Buffer)), { binary: true }, done), // bytes: no encoding is set
    final(done) {
      ws.close(1000);
      ws.resume(); // the answer to the close must be read even if nobody reads this stream
      done();
    },
    destroy(error, done) {
      ws.terminate();
      done(error);
    },
  });
  stream.on("error", () => {}); // an unheard failure must not end the process; who reads or writes sees it
  ws.on("message", (data) => {
    if (!stream.push(data)) ws.pause();
  });
  ws.once("error", (error) => stream.destroy(error));
  ws.once("close", () => {
    stream.push(null);
    stream.end(() => stream.destroy());
  });
  return stream;
}
