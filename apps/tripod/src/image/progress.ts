import type { LayerProgress, OnProgress } from "@tripod/oci";
import { humanBytes, humanDuration, shortId } from "./human.ts";

const barWidth = 24;
const redrawMs = 100;
/** JSON lines of one layer come at most so often, changes of state at once. */
const jsonEveryMs = 500;

interface Line {
  progress: LayerProgress;
  startedAtMs: number;
  startBytes: number;
  toldAtMs: number;
}

/**
 * Shows how far layers are on stderr: bars with rate and remaining time on a terminal, a line for each change of state elsewhere, with
 * --json a JSON object a line.
 */
export class ProgressView implements Disposable {
  readonly #out: NodeJS.WriteStream;
  readonly #lines = new Map<string, Line>();
  readonly #form: "bars" | "lines" | "json";
  #drawn = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: { readonly json?: true } = {}, out: NodeJS.WriteStream = process.stderr) {
    this.#out = out;
    const live = out.isTTY && process.env.TERM !== "dumb";
    this.#form = options.json ? "json" : live ? "bars" : "lines";
  }

  readonly onProgress: OnProgress = (progress) => {
    const known = this.#lines.get(progress.digest);
    if (known?.progress.state === "done" && progress.state === "exists") return; // that its blob is there, too, is no news
    const nowMs = Date.now();
    const changed = known?.progress.state !== progress.state;
    const line = known ?? { progress, startedAtMs: nowMs, startBytes: progress.doneBytes, toldAtMs: 0 };
    line.progress = progress;
    if (changed) Object.assign(line, { startedAtMs: nowMs, startBytes: progress.doneBytes });
    this.#lines.set(progress.digest, line);
    if (this.#form === "bars") this.#timer ??= setTimeout(() => this.#draw(), redrawMs);
    else if (this.#form === "lines") {
      if (changed && progress.state !== "waiting") this.#out.write(`${plainLine(progress)}\n`);
    } else if (changed || nowMs - line.toldAtMs >= jsonEveryMs) {
      line.toldAtMs = nowMs;
      this.#out.write(`${JSON.stringify(progress)}\n`);
    }
  };

  #draw(): void {
    this.#timer = undefined;
    const width = (this.#out.columns ?? 80) - 1;
    const lines = [...this.#lines.values()].map((line) => `\x1b[K${barLine(line, Date.now()).slice(0, width)}\n`);
    this.#out.write(`${this.#drawn > 0 ? `\x1b[${this.#drawn}A` : ""}${lines.join("")}`);
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

/** One layer's line on a terminal. */
export function barLine({ progress, startedAtMs, startBytes }: Omit<Line, "toldAtMs">, nowMs: number): string {
  const { digest, sizeBytes, doneBytes, state } = progress;
  const head = `${shortId(digest)}  ${words[state].padEnd(13)}`;
  if (state !== "downloading" && state !== "uploading") return `${head}  ${humanBytes(sizeBytes)}`;
  const share = sizeBytes === 0 ? 1 : Math.min(1, doneBytes / sizeBytes);
  const filled = Math.round(share * barWidth);
  const bytesPerSecond = (doneBytes - startBytes) / Math.max(0.1, (nowMs - startedAtMs) / 1000);
  const left = bytesPerSecond > 0 ? `  ${humanDuration((sizeBytes - doneBytes) / bytesPerSecond)} left` : "";
  const bar = `[${"#".repeat(filled)}${".".repeat(barWidth - filled)}]`;
  return `${head}  ${bar} ${humanBytes(doneBytes)}/${humanBytes(sizeBytes)}  ${humanBytes(bytesPerSecond)}/s${left}`;
}
