import { AsyncQueue, TripodError } from "@tripod/base";

const maxMessages = 4096;
const maxBytes = 8 * 1024 * 1024;

/**
 * The messages of one stream that nobody has read yet. ttrpc has no flow control and its streams share a connection, so a reader that
 * falls behind loses its stream ("exhausted") instead of holding up the others.
 */
export class Inbox implements AsyncIterable<Uint8Array> {
  readonly #queue = new AsyncQueue<Uint8Array>(maxMessages);
  #bytes = 0;

  get closed(): boolean {
    return this.#queue.closed;
  }

  push(message: Uint8Array): void {
    this.#bytes += message.length;
    if (this.#bytes > maxBytes) {
      this.#queue.fail(new TripodError("exhausted", `ttrpc stream: its reader is ${maxBytes} bytes behind`));
    } else this.#queue.push(message);
  }

  close(): void {
    this.#queue.close();
  }

  fail(error: unknown): void {
    this.#queue.fail(error);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const message of this.#queue) {
      this.#bytes -= message.length;
      yield message;
    }
  }
}
