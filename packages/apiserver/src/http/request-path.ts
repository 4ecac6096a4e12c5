/** What a request's path names. */
export interface RequestPath {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly subresource: string | undefined;
}

const decode = (part: string): string | undefined => {
  try {
    const text = decodeURIComponent(part);
    return /[/\0]/.test(text) || text === "" || text === "." || text === ".." ? undefined : text;
  } catch {
    return undefined;
  }
};

/**
 * Reads /api/v1/… and /apis/GROUP/VERSION/…, with or without namespaces/NAME before the resource. Undefined for what is no
 * resource's path.
 */
export function parsePath(path: string): RequestPath | undefined {
  const parts = path.split("/").slice(1);
  if (parts.at(-1) === "") parts.pop();
  const root = parts.shift();
  if (root !== "api" && root !== "apis") return undefined;
  const group = root === "api" ? "" : parts.shift();
  const version = parts.shift();
  const rest = parts.map(decode);
  if (group === undefined || version === undefined || rest.length === 0 || rest.includes(undefined)) return undefined;
  const words = rest as string[]; // no part is undefined
  let namespace: string | undefined;
  // /namespaces/NAME alone, and its status and finalize, are about the namespace itself.
  if (words[0] === "namespaces" && words.length >= 3 && !["status", "finalize"].includes(words[2] ?? "")) {
    namespace = words[1];
    words.splice(0, 2);
  }
  const [plural = "", name, ...sub] = words;
  if (sub.length > 1 && sub[0] !== "proxy") return undefined;
  return { group, version, plural, namespace, name, subresource: sub.length === 0 ? undefined : sub.join("/") };
}
