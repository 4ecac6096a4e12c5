import type { TarEntry } from "../tar/tar-entry.ts";
import { TarReader } from "../tar/tar-reader.ts";
import type { LayerMember } from "./layer-tar.ts";

type Step =
  | { readonly kind: "entry"; readonly entry: TarEntry }
  | { readonly kind: "data"; readonly piece: Buffer; readonly offset: number };

const holeBytes = 1024 * 1024;

/** The members of a tar that comes as a stream, one after the other: a member's content is to be read before the next one is asked for. */
export async function* membersOfTar(source: AsyncIterable<Buffer>): AsyncGenerator<LayerMember> {
  const steps = stepsOf(source);
  let step = await steps.next();
  while (step.done !== true) {
    if (step.value.kind === "data") {
      step = await steps.next(); // of a member whose content nobody wanted
      continue;
    }
    const { entry } = step.value;
    let read = false;
    async function* content(): AsyncGenerator<Buffer> {
      read = true;
      let at = 0;
      for (step = await steps.next(); step.done !== true && step.value.kind === "data"; step = await steps.next()) {
        const { piece, offset } = step.value;
        yield* zeros(offset - at);
        yield piece;
        at = offset + piece.length;
      }
      yield* zeros(entry.size - at);
    }
    yield entry.type === "file" && entry.size > 0 ? { entry, content: content() } : { entry };
    if (!read) step = await steps.next();
  }
}

async function* stepsOf(source: AsyncIterable<Buffer>): AsyncGenerator<Step> {
  const steps: Step[] = [];
  const reader = new TarReader({
    entry: (entry) => void steps.push({ kind: "entry", entry }),
    data: (piece, offset) => void steps.push({ kind: "data", piece, offset }),
    end: () => undefined,
  });
  for await (const piece of source) {
    reader.write(piece);
    yield* steps.splice(0);
  }
  reader.end();
  yield* steps.splice(0);
}

/** The holes of sparse files. */
function* zeros(length: number): Generator<Buffer> {
  for (let left = length; left > 0; left -= holeBytes) yield Buffer.alloc(Math.min(left, holeBytes));
}
