// Draws a CPU profile of Node (--cpu-prof, or a benchmark's --profile) as a flame graph: width is time, callers stand below.
//   node bench/flame-graph.ts FILE.cpuprofile > graph.svg
import { readFileSync } from "node:fs";
import { relative } from "node:path";

/** What of V8's format is used (Chrome DevTools protocol, Profiler.Profile). */
interface Profile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
    readonly children?: readonly number[];
  }[];
  readonly samples: readonly number[];
  /** Microseconds since the sample before. */
  readonly timeDeltas: readonly number[];
}

interface Frame {
  readonly title: string;
  readonly children: Map<string, Frame>;
  selfUs: number;
}

/** Time in which nothing runs here; a graph of what it does leaves it out. */
const idle = new Set(["(idle)", "(program)"]);

function titleOf({ functionName, url, lineNumber }: Profile["nodes"][number]["callFrame"]): string {
  const name = functionName === "" ? "(anonymous)" : functionName;
  if (url === "") return name;
  const path = url.startsWith("file://") ? relative(process.cwd(), new URL(url).pathname) : url;
  return `${name} ${path.replace(/^.*node_modules\//, "")}:${lineNumber + 1}`;
}

/** The samples as one tree; frames of one title under one parent are one. */
function treeOf(profile: Profile): Frame {
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]));
  const parents = new Map(
    profile.nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id] as const)),
  );
  const root: Frame = { title: "all", children: new Map(), selfUs: 0 };
  for (const [index, id] of profile.samples.entries()) {
    const path: string[] = [];
    for (let at: number | undefined = id; at !== undefined; at = parents.get(at)) {
      const node = nodes.get(at);
      if (node !== undefined) path.unshift(titleOf(node.callFrame));
    }
    if (path.some((title) => idle.has(title))) continue;
    let frame = root;
    for (const title of path.slice(1)) {
      const child = frame.children.get(title) ?? { title, children: new Map(), selfUs: 0 };
      frame.children.set(title, child);
      frame = child;
    }
    frame.selfUs += profile.timeDeltas[index] ?? 0;
  }
  return root;
}

const totalUs = (frame: Frame): number =>
  [...frame.children.values()].reduce((sum, child) => sum + totalUs(child), frame.selfUs);

const width = 1200;
const rowHeight = 16;
/** Narrower frames are left out: nobody could see them. */
const minWidth = 2;

const escape = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");

/** Warm colours, a fixed one a title. */
function colour(title: string): string {
  let hash = 0;
  for (const character of title) hash = (hash * 31 + (character.codePointAt(0) ?? 0)) % 997;
  return `hsl(${10 + (hash % 45)} ${65 + (hash % 25)}% ${62 + (hash % 12)}%)`;
}

function draw(root: Frame): string {
  const allUs = totalUs(root);
  const boxes: { frame: Frame; x: number; depth: number; us: number }[] = [];
  const place = (frame: Frame, x: number, depth: number): void => {
    const us = totalUs(frame);
    if ((us / allUs) * width < minWidth) return;
    boxes.push({ frame, x, depth, us });
    let at = x;
    for (const child of frame.children.values()) {
      place(child, at, depth + 1);
      at += (totalUs(child) / allUs) * width;
    }
  };
  place(root, 0, 0);
  const height = (Math.max(...boxes.map(({ depth }) => depth)) + 1) * rowHeight;
  const shapes = boxes.map(({ frame, x, depth, us }) => {
    const w = (us / allUs) * width;
    const y = height - (depth + 1) * rowHeight;
    const label = `${frame.title} — ${(us / 1000).toFixed(1)} ms, ${((us / allUs) * 100).toFixed(1)} %`;
    const letters = Math.floor(w / 6.2);
    const text =
      letters < 4
        ? ""
        : `<text x="${(x + 2).toFixed(1)}" y="${y + 11.5}">${escape(frame.title.slice(0, letters))}</text>`;
    return `<g><title>${escape(label)}</title><rect x="${x.toFixed(1)}" y="${y}" width="${w.toFixed(1)}" height="${rowHeight - 1}" fill="${colour(frame.title)}"/>${text}</g>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="monospace" font-size="10">\n${shapes.join("\n")}\n</svg>\n`;
}

const [file] = process.argv.slice(2);
if (file === undefined) {
  process.stderr.write("usage: node bench/flame-graph.ts FILE.cpuprofile > graph.svg\n");
  process.exitCode = 2;
} else {
  // V8 has written it.
  process.stdout.write(draw(treeOf(JSON.parse(readFileSync(file, "utf8")) as Profile)));
}
