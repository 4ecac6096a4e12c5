import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { codeOf, messageOf, TripodError } from "@tripod/base";
import { isZero } from "./decode.ts";
import { formatDuration, parseDuration } from "./duration.ts";
import { apiVersionOf, parseApiVersion } from "./object.ts";
import { getOwn, isObject, setOwn } from "./own-property.ts";
import {
  type FieldSchema,
  kindSchema,
  type MessageSchema,
  requireMessage,
  type ScalarName,
  schemaOf,
  type TypeSchema,
} from "./schema.ts";
import { formatMicroTime, formatTime, parseTime } from "./time.ts";

/** The media type of bodies in this form. */
export const protobufContentType = "application/vnd.kubernetes.protobuf";
/** What every such body starts with: "k8s" and a zero byte. */
const magic = Uint8Array.of(0x6b, 0x38, 0x73, 0);
/** Objects within raw extensions within objects, at most. */
const deepest = 8;

const text = new TextDecoder("utf-8", { fatal: true });
const bytesOf = (value: string): Uint8Array => Buffer.from(value, "utf8");

const isEnvelope = (bytes: Uint8Array): boolean => magic.every((byte, index) => bytes[index] === byte);

/**
 * Reads a body of application/vnd.kubernetes.protobuf into the JSON form of its object (apiVersion and kind set). Throws "invalid"
 * for bytes that are not one, and for kinds that the schema does not have.
 */
export function decodeProtobuf(bytes: Uint8Array): Record<string, unknown> {
  try {
    return decodeEnvelope(bytes, 0);
  } catch (cause) {
    if (codeOf(cause) === "invalid") throw cause;
    throw new TripodError("invalid", `decode protobuf: ${messageOf(cause)}`, { cause });
  }
}

function decodeEnvelope(bytes: Uint8Array, depth: number): Record<string, unknown> {
  if (!isEnvelope(bytes))
    throw new TripodError("invalid", "decode protobuf: the body does not start with the bytes k8s\\0");
  if (depth > deepest)
    throw new TripodError("invalid", `decode protobuf: objects are nested more than ${deepest} deep`);
  let apiVersion = "";
  let kind = "";
  let raw = new Uint8Array();
  let contentType = "";
  readFields(bytes.subarray(4), (number, reader) => {
    if (number === 1) {
      readFields(reader.bytes(), (inner, typeMeta) => {
        if (inner === 1) apiVersion = typeMeta.string();
        else if (inner === 2) kind = typeMeta.string();
        else return false;
        return true;
      });
    } else if (number === 2) raw = new Uint8Array(reader.bytes());
    else if (number === 4) contentType = reader.string();
    else return false;
    return true;
  });
  if (contentType === "application/json") {
    const parsed: unknown = JSON.parse(text.decode(raw));
    if (!isObject(parsed)) throw new TripodError("invalid", "decode protobuf: the JSON inside is no object");
    return parsed;
  }
  const schema = schemaOf({ ...parseApiVersion(apiVersion), kind });
  if (schema === undefined)
    throw new TripodError(
      "invalid",
      `decode protobuf: no kind ${JSON.stringify(kind)} is registered for version ${JSON.stringify(apiVersion)}`,
    );
  return { apiVersion, kind, ...decodeMessage(schema, raw, depth) };
}

/** Calls `take` for each field; what it does not take is skipped. */
function readFields(
  bytes: Uint8Array,
  take: (number: number, reader: BinaryReader, wireType: WireType) => boolean,
): void {
  const reader = new BinaryReader(bytes, (raw) => text.decode(raw));
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    if (!take(number, reader, wireType)) reader.skip(wireType, number);
  }
}

function decodeMessage(schema: MessageSchema, bytes: Uint8Array, depth: number): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  readFields(bytes, (number, reader, wireType) => {
    const field = schema.byNumber.get(number);
    if (field === undefined) return false;
    readField(field, reader, wireType, result, depth);
    return true;
  });
  for (const field of schema.fields) {
    const value = getOwn(result, field.name);
    if (field.name === "" || value === undefined || !field.omitEmpty) continue;
    const emptyStruct =
      !field.pointer && field.type.kind === "message" && isObject(value) && Object.keys(value).length === 0;
    if (emptyStruct || isZero(field, value)) delete result[field.name];
  }
  return result;
}

function readField(
  field: FieldSchema,
  reader: BinaryReader,
  wireType: WireType,
  into: Record<string, unknown>,
  depth: number,
): void {
  const { type, name } = field;
  if (name === "") {
    if (type.kind === "message") Object.assign(into, decodeMessage(requireMessage(type.name), reader.bytes(), depth));
    return;
  }
  if (type.kind === "list" && !type.wrapped) {
    const list = (into[name] ??= []) as unknown[]; // only this function sets it
    const packed = wireType === WireType.LengthDelimited && type.of.kind === "scalar" && isVarint(type.of.name);
    if (!packed) list.push(readValue(type.of, reader, depth));
    else
      for (const end = reader.uint32() + reader.pos; reader.pos < end; ) list.push(readValue(type.of, reader, depth));
    return;
  }
  if (type.kind === "map") {
    const map = (into[name] ??= {}) as Record<string, unknown>; // only this function sets it
    let key = "";
    let value: unknown = type.of.kind === "scalar" && type.of.name === "string" ? "" : undefined;
    readFields(reader.bytes(), (number, entry) => {
      if (number === 1) key = entry.string();
      else if (number === 2) value = readValue(type.of, entry, depth);
      else return false;
      return true;
    });
    setOwn(map, key, value ?? null);
    return;
  }
  const value = readValue(type, reader, depth);
  if (value !== undefined) into[name] = value;
}

const isVarint = (name: ScalarName): boolean => name === "bool" || name === "int32" || name === "int64";

function readValue(type: TypeSchema, reader: BinaryReader, depth: number): unknown {
  switch (type.kind) {
    case "message":
      return decodeMessage(requireMessage(type.name), reader.bytes(), depth);
    case "enum":
      return reader.string();
    case "list": {
      const items: unknown[] = [];
      readFields(reader.bytes(), (number, inner) => {
        if (number !== 1) return false;
        items.push(readValue(type.of, inner, depth));
        return true;
      });
      return items;
    }
    case "map":
      throw new TripodError("invalid", "decode protobuf: a map may not stand in a list or map");
    case "scalar":
      return readScalar(type.name, reader, depth);
  }
}

function readScalar(name: ScalarName, reader: BinaryReader, depth: number): unknown {
  switch (name) {
    case "string":
      return reader.string();
    case "bool":
      return reader.bool();
    case "int32":
      return reader.int32();
    case "int64":
      return Number(reader.int64());
    case "double":
      return reader.double();
    case "bytes":
      return Buffer.from(reader.bytes()).toString("base64");
    case "quantity": {
      let value = "0";
      readFields(reader.bytes(), (number, inner) => {
        if (number !== 1) return false;
        value = inner.string();
        return true;
      });
      return value;
    }
    case "time":
    case "microtime": {
      const instant = { seconds: 0, nanos: 0 };
      readFields(reader.bytes(), (number, inner) => {
        if (number === 1) instant.seconds = Number(inner.int64());
        else if (number === 2) instant.nanos = inner.int32();
        else return false;
        return true;
      });
      if (instant.seconds === 0 && instant.nanos === 0) return undefined;
      return (name === "time" ? formatTime : formatMicroTime)(instant);
    }
    case "duration": {
      let nanos = 0n;
      readFields(reader.bytes(), (number, inner) => {
        if (number !== 1) return false;
        nanos = BigInt(inner.int64());
        return true;
      });
      return formatDuration(nanos);
    }
    case "intorstring": {
      let kind = 0;
      let int = 0;
      let string = "";
      readFields(reader.bytes(), (number, inner) => {
        if (number === 1) kind = Number(inner.int64());
        else if (number === 2) int = inner.int32();
        else if (number === 3) string = inner.string();
        else return false;
        return true;
      });
      return kind === 1 ? string : int;
    }
    case "raw":
    case "fieldsv1": {
      let value: unknown;
      readFields(reader.bytes(), (number, inner) => {
        if (number !== 1) return false;
        const raw = inner.bytes();
        if (raw.length > 0) value = isEnvelope(raw) ? decodeEnvelope(raw, depth + 1) : JSON.parse(text.decode(raw));
        return true;
      });
      return value;
    }
    case "any":
      return undefined;
  }
}

/** The bytes of an object in JSON form, envelope included. Throws "invalid" for kinds that the schema does not have. */
export function encodeProtobuf(object: { readonly apiVersion?: string; readonly kind?: string }): Uint8Array {
  const { apiVersion = "", kind = "" } = object;
  const found = kindSchema({ ...parseApiVersion(apiVersion), kind });
  if (found === undefined)
    throw new TripodError("invalid", `encode protobuf: no kind ${kind} is registered for version ${apiVersion}`);
  const fields = object as Readonly<Record<string, unknown>>; // JSON form
  const raw = encodeMessage(requireMessage(found.message), fields);
  const writer = new BinaryWriter();
  writer.tag(1, WireType.LengthDelimited).fork();
  writer.tag(1, WireType.LengthDelimited).string(apiVersionOf(found.gvk));
  writer.tag(2, WireType.LengthDelimited).string(kind);
  writer.join();
  writer.tag(2, WireType.LengthDelimited).bytes(raw);
  writer.tag(3, WireType.LengthDelimited).string("");
  writer.tag(4, WireType.LengthDelimited).string("");
  return Buffer.concat([magic, writer.finish()]);
}

function encodeMessage(schema: MessageSchema, object: Readonly<Record<string, unknown>>): Uint8Array {
  const writer = new BinaryWriter();
  // Upstream writes fields in the order of their numbers.
  for (const field of schema.byNumber.values()) writeField(field, object, writer);
  return writer.finish();
}

function writeField(field: FieldSchema, object: Readonly<Record<string, unknown>>, writer: BinaryWriter): void {
  const { type, number } = field;
  if (field.name === "") {
    if (type.kind === "message")
      writer.tag(number, WireType.LengthDelimited).bytes(encodeMessage(requireMessage(type.name), object));
    return;
  }
  const value = getOwn(object, field.name);
  if (value === undefined || value === null) {
    // A struct that is no pointer is always there on the wire, if only as an empty message.
    if (!field.pointer && type.kind === "message")
      writer.tag(number, WireType.LengthDelimited).bytes(encodeMessage(requireMessage(type.name), {}));
    return;
  }
  if (type.kind === "list" && !type.wrapped) {
    if (Array.isArray(value)) for (const item of value) writeValue(type.of, number, item, writer);
    return;
  }
  if (type.kind === "map") {
    if (!isObject(value)) return;
    for (const key of Object.keys(value).sort()) {
      const entry = new BinaryWriter();
      entry.tag(1, WireType.LengthDelimited).string(key);
      writeValue(type.of, 2, value[key], entry);
      writer.tag(number, WireType.LengthDelimited).bytes(entry.finish());
    }
    return;
  }
  writeValue(type, number, value, writer);
}

function writeValue(type: TypeSchema, number: number, value: unknown, writer: BinaryWriter): void {
  switch (type.kind) {
    case "message":
      writer
        .tag(number, WireType.LengthDelimited)
        .bytes(encodeMessage(requireMessage(type.name), isObject(value) ? value : {}));
      return;
    case "enum":
      writer.tag(number, WireType.LengthDelimited).string(String(value));
      return;
    case "list": {
      const inner = new BinaryWriter();
      if (Array.isArray(value)) for (const item of value) writeValue(type.of, 1, item, inner);
      writer.tag(number, WireType.LengthDelimited).bytes(inner.finish());
      return;
    }
    case "map":
      throw new TripodError("invalid", "encode protobuf: a map may not stand in a list or map");
    case "scalar":
      writeScalar(type.name, number, value, writer);
  }
}

function writeScalar(name: ScalarName, number: number, value: unknown, writer: BinaryWriter): void {
  const delimited = (bytes: Uint8Array): void => {
    writer.tag(number, WireType.LengthDelimited).bytes(bytes);
  };
  const inner = new BinaryWriter();
  switch (name) {
    case "string":
      delimited(bytesOf(String(value)));
      return;
    case "bytes":
      delimited(Buffer.from(String(value), "base64"));
      return;
    case "bool":
      writer.tag(number, WireType.Varint).bool(value === true);
      return;
    case "int32":
    case "int64":
      writer.tag(number, WireType.Varint).int64(BigInt(Number(value)));
      return;
    case "double":
      writer.tag(number, WireType.Bit64).double(Number(value));
      return;
    case "quantity":
      delimited(inner.tag(1, WireType.LengthDelimited).string(String(value)).finish());
      return;
    case "time":
    case "microtime": {
      const instant = parseTime(String(value));
      inner.tag(1, WireType.Varint).int64(instant.seconds);
      inner.tag(2, WireType.Varint).int32(name === "time" ? 0 : instant.nanos);
      delimited(inner.finish());
      return;
    }
    case "duration":
      delimited(
        inner
          .tag(1, WireType.Varint)
          .int64(parseDuration(String(value)))
          .finish(),
      );
      return;
    case "intorstring":
      inner.tag(1, WireType.Varint).int64(typeof value === "string" ? 1 : 0);
      inner.tag(2, WireType.Varint).int32(typeof value === "number" ? value : 0);
      inner.tag(3, WireType.LengthDelimited).string(typeof value === "string" ? value : "");
      delimited(inner.finish());
      return;
    case "raw":
    case "fieldsv1":
      delimited(
        inner
          .tag(1, WireType.LengthDelimited)
          .bytes(bytesOf(JSON.stringify(value)))
          .finish(),
      );
      return;
    case "any":
      return;
  }
}
