/** How many duplicates are reported at most. */
const mostReported = 100;

interface Frame {
  readonly path: string;
  /** Undefined inside an array. */
  readonly keys: Set<string> | undefined;
  index: number;
  /** The path of the value that comes next. */
  next: string;
}

/**
 * The paths of object keys that JSON text holds twice, such as "spec.replicas". The text must already have been accepted by
 * JSON.parse, which keeps the last of them in silence.
 */
export function findDuplicateFields(text: string): string[] {
  const duplicates: string[] = [];
  const stack: Frame[] = [];
  let key: string | undefined;
  let expectKey = false;
  for (let at = 0; at < text.length; at += 1) {
    const frame = stack.at(-1);
    switch (text.charCodeAt(at)) {
      case 0x22: {
        const start = at;
        for (at += 1; text.charCodeAt(at) !== 0x22; at += 1) {
          if (at >= text.length) return duplicates;
          if (text.charCodeAt(at) === 0x5c) at += 1;
        }
        if (!expectKey || frame?.keys === undefined) break;
        const raw = text.slice(start + 1, at);
        key = raw.includes("\\") ? String(JSON.parse(text.slice(start, at + 1))) : raw;
        frame.next = frame.path === "" ? key : `${frame.path}.${key}`;
        if (frame.keys.has(key) && duplicates.length < mostReported && !duplicates.includes(frame.next))
          duplicates.push(frame.next);
        frame.keys.add(key);
        expectKey = false;
        break;
      }
      case 0x7b:
        stack.push({ path: frame?.next ?? "", keys: new Set(), index: 0, next: "" });
        expectKey = true;
        break;
      case 0x5b: {
        const path = frame?.next ?? "";
        stack.push({ path, keys: undefined, index: 0, next: `${path}[0]` });
        expectKey = false;
        break;
      }
      case 0x2c:
        if (frame === undefined) break;
        expectKey = frame.keys !== undefined;
        if (frame.keys === undefined) {
          frame.index += 1;
          frame.next = `${frame.path}[${frame.index}]`;
        }
        break;
      case 0x7d:
      case 0x5d:
        stack.pop();
        expectKey = false;
        break;
    }
  }
  return duplicates;
}
