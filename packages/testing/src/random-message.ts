import {
  create,
  type DescField,
  type DescMessage,
  type Message,
  type MessageInitShape,
  ScalarType,
} from "@bufbuild/protobuf";
import type { SeededRandom } from "./seeded-random.ts";

/** A value for one field, or undefined to leave the choice to the generator. */
export type FieldChoice = (field: DescField, random: SeededRandom) => unknown;

const hostileStrings = [
  "",
  "../../../../../../etc/passwd",
  "..",
  "/",
  "a\0b",
  "\u{1f4a5}\u202e\ufeff",
  "-rf",
  "%2e%2e%2f",
  "$(reboot)\n",
  "0".repeat(64),
  "a".repeat(300),
  "/".repeat(5000),
] as const;
const hostileNumbers = [0, 1, -1, 2 ** 31 - 1, -(2 ** 31), 65_536] as const;
const hostileBigints = [0n, 1n, -1n, 2n ** 63n - 1n, -(2n ** 63n), 10n ** 12n] as const;

function randomScalar(type: ScalarType, random: SeededRandom): unknown {
  switch (type) {
    case ScalarType.STRING:
      return random.next() < 0.02 ? "b".repeat(random.below(100_000)) : random.pick(hostileStrings);
    case ScalarType.BOOL:
      return random.next() < 0.5;
    case ScalarType.BYTES:
      return Uint8Array.from({ length: random.below(64) }, () => random.below(256));
    case ScalarType.INT64:
    case ScalarType.SINT64:
    case ScalarType.SFIXED64:
      return random.pick(hostileBigints);
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return BigInt.asUintN(64, random.pick(hostileBigints));
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return random.pick(
        [0, -1, 1e300, Number.NaN, Number.POSITIVE_INFINITY].map(type === ScalarType.FLOAT ? Math.fround : Number),
      );
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return random.pick(hostileNumbers) >>> 0;
    default:
      return random.pick(hostileNumbers);
  }
}

function randomValue(field: DescField, random: SeededRandom, choose: FieldChoice, depth: number): unknown {
  const chosen = choose(field, random);
  if (chosen !== undefined) return chosen;
  const many = <T>(one: (index: number) => T): T[] => Array.from({ length: random.below(3) }, (_, index) => one(index));
  const ofEnum = (): number => random.pick([0, 1, 2, 3, -1, 12_345]);
  const ofMessage = (desc: DescMessage): Message => randomMessage(desc, { random, choose, depth: depth - 1 });
  switch (field.fieldKind) {
    case "scalar":
      return randomScalar(field.scalar, random);
    case "enum":
      return ofEnum();
    case "message":
      return ofMessage(field.message);
    case "list":
      if (field.listKind === "message") return many(() => ofMessage(field.message));
      return many(() => (field.listKind === "enum" ? ofEnum() : randomScalar(field.scalar, random)));
    case "map":
      return Object.fromEntries(
        many((index) => {
          const key = field.mapKey === ScalarType.STRING ? random.pick(hostileStrings) : index;
          if (field.mapKind === "message") return [key, ofMessage(field.message)];
          return [key, field.mapKind === "enum" ? ofEnum() : randomScalar(field.scalar, random)];
        }),
      );
    default:
      return undefined;
  }
}

/** A message of the type with hostile values in about half of its fields. */
export function randomMessage(
  desc: DescMessage,
  options: { readonly random: SeededRandom; readonly choose: FieldChoice; readonly depth?: number },
): Message {
  const { random, choose, depth = 8 } = options;
  const init: Record<string, unknown> = {};
  for (const field of desc.fields) {
    if (random.next() < 0.5 || (depth <= 0 && field.message !== undefined)) continue;
    const value = randomValue(field, random, choose, depth);
    if (field.oneof === undefined) init[field.localName] = value;
    else init[field.oneof.localName] = { case: field.localName, value };
  }
  return create(desc, init as MessageInitShape<typeof desc>); // built from the descriptor's own fields
}
