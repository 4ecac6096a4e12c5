import type { FieldsV1 } from "../../gen/kubernetes/types.ts";

/**
 * A set of field paths as server-side apply owns them: a tree whose edges are "f:NAME", "k:{KEYS}", "v:VALUE" and "i:INDEX". A node is
 * in the set when it is a member; a node that is none only leads to others.
 */
export class FieldSet {
  isMember: boolean;
  readonly children: Map<string, FieldSet>;

  constructor(isMember = false, children: Map<string, FieldSet> = new Map()) {
    this.isMember = isMember;
    this.children = children;
  }

  /** From managedFields' own form: {} is a member, "." makes a node with children one. */
  static parse(fields: FieldsV1 | undefined): FieldSet {
    const set = new FieldSet();
    if (fields === undefined) return set;
    const keys = Object.keys(fields);
    for (const key of keys) {
      const child = fields[key];
      if (key === ".") set.isMember = true;
      else if (child !== undefined) {
        const parsed = FieldSet.parse(child);
        if (Object.keys(child).length === 0) parsed.isMember = true;
        set.children.set(key, parsed);
      }
    }
    return set;
  }

  get isEmpty(): boolean {
    return !this.isMember && this.children.size === 0;
  }

  child(element: string): FieldSet | undefined {
    return this.children.get(element);
  }

  toFieldsV1(): FieldsV1 {
    const fields: FieldsV1 = {};
    if (this.isMember && this.children.size > 0) fields["."] = {};
    for (const [element, child] of [...this.children].sort(([a], [b]) => (a < b ? -1 : 1)))
      fields[element] = child.toFieldsV1();
    return fields;
  }

  union(other: FieldSet): FieldSet {
    return this.#combine(other, (a, b) => a || b);
  }

  intersection(other: FieldSet): FieldSet {
    return this.#combine(other, (a, b) => a && b);
  }

  difference(other: FieldSet): FieldSet {
    return this.#combine(other, (a, b) => a && !b);
  }

  /** Without a path and everything below it. */
  without(path: readonly string[]): FieldSet {
    const [first, ...rest] = path;
    if (first === undefined) return new FieldSet();
    const child = this.children.get(first);
    if (child === undefined) return this;
    const children = new Map(this.children);
    const left = child.without(rest);
    if (left.isEmpty) children.delete(first);
    else children.set(first, left);
    return new FieldSet(this.isMember, children);
  }

  /** Every member as upstream prints paths: `.spec.containers[name="web"].image`. */
  *paths(prefix = ""): Generator<string> {
    if (this.isMember && prefix !== "") yield prefix;
    for (const [element, child] of this.children) yield* child.paths(prefix + elementText(element));
  }

  #combine(other: FieldSet, keep: (a: boolean, b: boolean) => boolean): FieldSet {
    const children = new Map<string, FieldSet>();
    for (const element of new Set([...this.children.keys(), ...other.children.keys()])) {
      const combined = (this.children.get(element) ?? none).#combine(other.children.get(element) ?? none, keep);
      if (!combined.isEmpty) children.set(element, combined);
    }
    return new FieldSet(keep(this.isMember, other.isMember), children);
  }
}

const none = new FieldSet();

function elementText(element: string): string {
  const rest = element.slice(2);
  switch (element.slice(0, 2)) {
    case "f:":
      return `.${rest}`;
    case "k:": {
      const keys = Object.entries(JSON.parse(rest)).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
      return `[${keys.join(",")}]`;
    }
    case "v:":
      return `[=${rest}]`;
    default:
      return `[${rest}]`;
  }
}
