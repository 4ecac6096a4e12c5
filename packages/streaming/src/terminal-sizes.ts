import type { TerminalSize } from "./types.ts";

/** The longest text between two sizes. */
const maxPendingCharacters = 4096;

/** The sizes of a terminal as they change. A reader gets the newest; sizes in between that nobody read are dropped. */
export class TerminalSizes implements AsyncIterable<TerminalSize> {
  #text = "";
  #newest: TerminalSize | undefined;
  #ended = false;
  #wake: (() => void) | undefined;

  /** Takes what came on a resize stream: JSON objects {"Width":80,"Height":24} one after another, cut anywhere. */
  receive(bytes: Buffer): void {
    this.#text = (this.#text + bytes.toString("utf8")).slice(-maxPendingCharacters);
    for (;;) {
      const end = this.#text.indexOf("}");
      if (end < 0) return;
      const size = parseSize(this.#text.slice(0, end + 1));
      this.#text = this.#text.slice(end + 1);
      if (size !== undefined) this.#newest = size;
      this.#wake?.();
    }
  }

  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<TerminalSize, void, undefined> {
    for (;;) {
      const size = this.#newest;
      this.#newest = undefined;
      if (size !== undefined) yield size;
      else if (this.#ended) return;
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }
}

function parseSize(text: string): TerminalSize | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined; // a peer that sends rubbish has no terminal to resize
  }
  const { Width: width, Height: height } = value as Record<string, unknown>; // an object: it ends in a brace
  const fits = (cells: unknown): cells is number =>
    Number.isInteger(cells) && Number(cells) > 0 && Number(cells) <= 65535;
  return fits(width) && fits(height) ? { width, height } : undefined;
}

/** The wire form of one size. */
export const terminalSizeJson = (size: TerminalSize): string =>
  `${JSON.stringify({ Width: size.width, Height: size.height })}\n`;
