import { type AnyNode, type DocumentNode, parse } from "@humanwhocodes/momoa";
import { TripodError } from "@tripod/base";
import type { JsonValue } from "./json.ts";

/** A step into a document: a member's name or an item's index. */
export type JsonPath = readonly (string | number)[];

/** JSON text that knows where each of its values stands. */
export class JsonFile {
  readonly file: string;
  readonly text: string;
  readonly value: JsonValue;

  private constructor(file: string, text: string, value: JsonValue) {
    this.file = file;
    this.text = text;
    this.value = value;
  }

  /** Strict JSON. Throws "invalid" as `FILE:LINE:COLUMN: why`. */
  static parse(file: string, text: string): JsonFile {
    try {
      // JSON.parse gives only JSON values. The parser that knows positions is asked when there is something to say.
      return new JsonFile(file, text, JSON.parse(text) as JsonValue);
    } catch (cause) {
      throw new TripodError("invalid", syntaxError(file, text, cause), { cause });
    }
  }

  /** An "invalid" error that begins with file, line and column of the value at `path`, or of the nearest one around it. */
  problem(path: JsonPath, why: string): TripodError {
    const { line, column } = this.#position(path);
    return new TripodError("invalid", `${this.file}:${line}:${column}: ${why}`, { detail: { file: this.file, line } });
  }

  #position(path: JsonPath): { line: number; column: number } {
    const document: DocumentNode = parse(this.text);
    let node: AnyNode = document.body;
    for (const step of path) {
      const next: AnyNode | undefined =
        node.type === "Object"
          ? node.members.findLast(
              (member) => (member.name.type === "String" ? member.name.value : member.name.name) === step,
            )?.value
          : node.type === "Array" && typeof step === "number"
            ? node.elements[step]?.value
            : undefined;
      if (next === undefined) break;
      node = next;
    }
    return node.loc.start;
  }
}

function syntaxError(file: string, text: string, cause: unknown): string {
  try {
    parse(text);
  } catch (error) {
    if (error instanceof Error && "line" in error && "column" in error) {
      const why = error.message.replace(/ \(\d+:\d+\)$/, "");
      return `${file}:${String(error.line)}:${String(error.column)}: not JSON: ${why}`;
    }
  }
  return `${file}:1:1: not JSON: ${cause instanceof Error ? cause.message : String(cause)}`;
}
