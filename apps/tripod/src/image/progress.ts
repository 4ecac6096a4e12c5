import type { LayerProgress, OnProgress } from "@tripod/oci";
import { humanBytes, shortId } from "./human.ts";

const barWidth = 24;
const redrawMs = 100;

interface Line {
  progress: LayerProgress;
  readonly startedAtMs: number;
  readonly startBytes: number;
}

/** Shows how far layers are on stderr: bars with rates on a terminal, a line for each change of state elsewhere. */
export class ProgressView implements Disposable {
  readonly #out: NodeJS.WriteStream;
  readonly #lines = new Map<string, Line>();
  readonly #live: boolean;
  #drawn = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(out: NodeJS.WriteStream = process.stderr) {
    this.#out = out;
    this.#live = out.isTTY && process.env.TERM !== "dumb";
  }

  readonly onProgress: OnProgress = (progress) => {
    const known = this.#lines.get(progress.digest);
    const changed = known?.progress.state !== progress.state;
    if (known === undefined || (changed && (progress.state === "downloading" || progress.state === "uploading"))) {
      this.#lines.set(progress.digest, { progress, startedAtMs: Date.now(), startBytes: progress.doneBytes });
    } else known.progress = progress;
    if (this.#live) this.#timer ??= setTimeout(() => this.#draw(), redrawMs);
    else if (changed && progress.state !== "waiting") this.#out.write(`${plainLine(progress)}\n`);
  };

  #draw(): void {
    this.#timer = undefined;
    const width = (this.#out.columns ?? 80) - 1;
    const text = [...this.#lines.values()].map((line) => `\x1b[K${barLine(line).slice(0, width)}\n`).join("");
    this.#out.write(`${this.#drawn > 0 ? `\x1b[${this.#drawn}A` : ""}${text}`);
    this.#drawn = this.#lines.size;
  }

  [Symbol.dispose](): void {
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    this.#draw();
  }
}

const words: Readonly<Record<LayerProgress["state"], string>> = {
  waiting: "waiting",
  downloading: "downloading",
  downloaded: "downloaded",
  unpacking: "unpacking",
  done: "done",
  exists: "already there",
  uploading: "uploading",
};

const plainLine = ({ digest, sizeBytes, state }: LayerProgress): string =>
  `${shortId(digest)}: ${words[state]} (${humanBytes(sizeBytes)})`;

function barLine({ progress, startedAtMs, startBytes }: Line): string {
  const { digest, sizeBytes, doneBytes, state } = progress;
  const head = `${shortId(digest)}  ${words[state].padEnd(13)}`;
  if (state !== "downloading" && state !== "uploading") return `${head}  ${humanBytes(sizeBytes)}`;
  const share = sizeBytes === 0 ? 1 : doneBytes / sizeBytes;
  const filled = Math.round(share * barWidth);
  const seconds = Math.max(0.1, (Date.now() - startedAtMs) / 1000);
  const rate = `${humanBytes((doneBytes - startBytes) / seconds)}/s`;
  return `${head}  [${"#".repeat(filled)}${".".repeat(barWidth - filled)}] ${humanBytes(doneBytes)}/${humanBytes(sizeBytes)}  ${rate}`;
}
