import { isDeepStrictEqual } from "node:util";
import { TripodError } from "@tripod/base";
import { getOwn, isObject, setOwn } from "./own-property.ts";

/** Operations of one patch, at most; upstream's limit. */
const mostOperations = 10_000;
/** Characters of JSON that the copy operations of one patch may make, at most. */
const mostCopied = 3 * 1024 * 1024;

interface Operation {
  readonly op: string;
  readonly path: string;
  readonly from: string | undefined;
  readonly value: unknown;
  readonly hasValue: boolean;
}

function parseOperations(patch: unknown): Operation[] {
  if (!Array.isArray(patch)) throw new TripodError("invalid", "JSON patch: the body is no array of operations");
  if (patch.length > mostOperations)
    throw new TripodError("invalid", `JSON patch: ${patch.length} operations; the limit is ${mostOperations}`);
  return patch.map((entry: unknown, index): Operation => {
    if (!isObject(entry) || typeof entry.op !== "string" || typeof entry.path !== "string")
      throw new TripodError("invalid", `JSON patch: operation ${index} needs the texts op and path`);
    if (entry.from !== undefined && typeof entry.from !== "string")
      throw new TripodError("invalid", `JSON patch: operation ${index}: from is no text`);
    return {
      op: entry.op,
      path: entry.path,
      from: entry.from,
      value: entry.value,
      hasValue: Object.hasOwn(entry, "value"),
    };
  });
}

function parsePointer(pointer: string): string[] {
  if (pointer === "") return [];
  if (!pointer.startsWith("/"))
    throw new TripodError("invalid", `JSON patch: path ${JSON.stringify(pointer)} does not start with /`);
  return pointer
    .slice(1)
    .split("/")
    .map((token) => token.replaceAll("~1", "/").replaceAll("~0", "~"));
}

/**
 * Applies a JSON patch (RFC 6902) to a copy of `target`; what is replaced in an object may be missing. A body that is no patch, a path that is not there and a failed test are
 * "invalid" errors that name the operation's path.
 */
export function jsonPatch(target: unknown, patch: unknown): unknown {
  // The root is held in an object of our own, so that it can be replaced like any other value.
  const holder: Record<string, unknown> = { root: structuredClone(target) };
  let copied = 0;
  for (const operation of parseOperations(patch)) {
    const tokens = ["root", ...parsePointer(operation.path)];
    const fail = (why: string): TripodError =>
      new TripodError("invalid", `JSON patch: ${operation.op} ${operation.path}: ${why}`, {
        detail: { path: operation.path },
      });
    const needValue = (): unknown => {
      if (!operation.hasValue) throw fail("the operation has no value");
      return structuredClone(operation.value);
    };
    const source = (): string[] => {
      if (operation.from === undefined) throw fail("the operation has no from");
      return ["root", ...parsePointer(operation.from)];
    };
    switch (operation.op) {
      case "add":
        add(holder, tokens, needValue(), fail);
        break;
      case "remove":
        remove(holder, tokens, fail);
        break;
      case "replace":
        replace(holder, tokens, needValue(), fail);
        break;
      case "move": {
        const from = source();
        if (tokens.length > from.length && from.every((token, index) => tokens[index] === token))
          throw fail(`${operation.from} cannot move into itself`);
        add(holder, tokens, remove(holder, from, fail), fail);
        break;
      }
      case "copy": {
        const value = find(holder, source(), fail);
        copied += JSON.stringify(value).length;
        if (copied > mostCopied) throw fail(`the copies of this patch exceed ${mostCopied} characters`);
        add(holder, tokens, structuredClone(value), fail);
        break;
      }
      case "test":
        if (!isDeepStrictEqual(find(holder, tokens, fail), needValue()))
          throw fail("the value differs from the one expected");
        break;
      default:
        throw fail("there is no such operation");
    }
  }
  return holder.root;
}

type Fail = (why: string) => TripodError;

const arrayIndex = (token: string): number => (/^(?:0|[1-9]\d{0,8})$/.test(token) ? Number(token) : -1);

function child(parent: unknown, token: string, fail: Fail): unknown {
  if (Array.isArray(parent)) {
    const index = arrayIndex(token);
    if (index < 0 || index >= parent.length) throw fail(`there is no element ${token}`);
    return parent[index];
  }
  if (!isObject(parent) || !Object.hasOwn(parent, token)) throw fail(`there is no ${JSON.stringify(token)}`);
  return getOwn(parent, token);
}

const find = (holder: unknown, tokens: readonly string[], fail: Fail): unknown =>
  tokens.reduce((value: unknown, token) => child(value, token, fail), holder);

function parentOf(holder: unknown, tokens: readonly string[], fail: Fail): [parent: unknown, last: string] {
  return [find(holder, tokens.slice(0, -1), fail), tokens.at(-1) ?? ""];
}

/** In an object the value may be missing: upstream's API servers take that for an add, and controllers of snapshots count on it. */
function replace(holder: unknown, tokens: readonly string[], value: unknown, fail: Fail): void {
  const [parent, last] = parentOf(holder, tokens, fail);
  if (isObject(parent)) {
    setOwn(parent, last, value);
    return;
  }
  child(parent, last, fail);
  if (Array.isArray(parent)) parent[arrayIndex(last)] = value;
}

function add(holder: unknown, tokens: readonly string[], value: unknown, fail: Fail): void {
  const [parent, last] = parentOf(holder, tokens, fail);
  if (Array.isArray(parent)) {
    const index = last === "-" ? parent.length : arrayIndex(last);
    if (index < 0 || index > parent.length) throw fail(`${last} is outside the list`);
    parent.splice(index, 0, value);
  } else if (isObject(parent)) setOwn(parent, last, value);
  else throw fail("the parent is neither an object nor a list");
}

function remove(holder: unknown, tokens: readonly string[], fail: Fail): unknown {
  const [parent, last] = parentOf(holder, tokens, fail);
  const value = child(parent, last, fail);
  if (Array.isArray(parent)) parent.splice(arrayIndex(last), 1);
  else if (isObject(parent)) delete parent[last];
  return value;
}
