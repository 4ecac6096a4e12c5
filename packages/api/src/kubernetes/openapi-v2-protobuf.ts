import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import type { Definition } from "./openapi-definitions.ts";
import { isObject } from "./own-property.ts";

/** The bytes of an OpenAPI 2.0 document in the protobuf form of gnostic's openapi.v2.Document, for which kubectl up to 1.28 asks. */
export const encodeOpenApiV2 = (document: Definition): Uint8Array =>
  message((writer) => writeDocument(writer, document));

const message = (write: (writer: BinaryWriter) => void): Uint8Array => {
  const writer = new BinaryWriter();
  write(writer);
  return writer.finish();
};
const nested = (writer: BinaryWriter, number: number, write: (inner: BinaryWriter) => void): void => {
  writer.tag(number, WireType.LengthDelimited).bytes(message(write));
};
const text = (writer: BinaryWriter, number: number, value: unknown): void => {
  if (typeof value === "string" && value !== "") writer.tag(number, WireType.LengthDelimited).string(value);
};
const texts = (writer: BinaryWriter, number: number, value: unknown): void => {
  if (Array.isArray(value)) for (const item of value) text(writer, number, item);
};
const flag = (writer: BinaryWriter, number: number, value: unknown): void => {
  if (value === true) writer.tag(number, WireType.Varint).bool(true);
};
const object = (value: unknown): Definition => (isObject(value) ? value : {});

/** Any: JSON is YAML too. */
const any = (writer: BinaryWriter, number: number, value: unknown): void =>
  nested(writer, number, (inner) => text(inner, 2, `${JSON.stringify(value)}\n`));

function extensions(writer: BinaryWriter, number: number, from: Definition): void {
  for (const [key, value] of Object.entries(from)) {
    if (!key.startsWith("x-")) continue;
    nested(writer, number, (named) => {
      text(named, 1, key);
      any(named, 2, value);
    });
  }
}

function writeDocument(writer: BinaryWriter, document: Definition): void {
  const info = object(document.info);
  text(writer, 1, document.swagger);
  nested(writer, 2, (inner) => {
    text(inner, 1, info.title);
    text(inner, 2, info.version);
  });
  nested(writer, 8, (paths) => {
    for (const [name, item] of Object.entries(object(document.paths)))
      nested(paths, 2, (named) => {
        text(named, 1, name);
        nested(named, 2, (inner) => writePathItem(inner, object(item)));
      });
  });
  nested(writer, 9, (definitions) => {
    for (const [name, schema] of Object.entries(object(document.definitions)))
      nested(definitions, 1, (named) => writeNamedSchema(named, name, object(schema)));
  });
}

function writeNamedSchema(writer: BinaryWriter, name: string, schema: Definition): void {
  text(writer, 1, name);
  nested(writer, 2, (inner) => writeSchema(inner, schema));
}

const methodNumbers: readonly (readonly [method: string, number: number])[] = [
  ["get", 2],
  ["put", 3],
  ["post", 4],
  ["delete", 5],
  ["patch", 8],
];

function writePathItem(writer: BinaryWriter, item: Definition): void {
  for (const [method, number] of methodNumbers) {
    const operation = item[method];
    if (isObject(operation)) nested(writer, number, (inner) => writeOperation(inner, operation));
  }
}

function writeOperation(writer: BinaryWriter, operation: Definition): void {
  texts(writer, 1, operation.tags);
  text(writer, 5, operation.operationId);
  texts(writer, 7, operation.consumes);
  if (Array.isArray(operation.parameters))
    // ParametersItem.parameter
    for (const parameter of operation.parameters)
      nested(writer, 8, (item) => nested(item, 1, (inner) => writeParameter(inner, object(parameter))));
  nested(writer, 9, (responses) => {
    for (const [code, reply] of Object.entries(object(operation.responses)))
      nested(responses, 1, (named) => {
        text(named, 1, code);
        nested(named, 2, (value) =>
          nested(value, 1, (response) => {
            text(response, 1, object(reply).description);
            nested(response, 2, (item) =>
              nested(item, 1, (schema) => writeSchema(schema, object(object(reply).schema))),
            );
          }),
        );
      });
  });
  extensions(writer, 13, operation);
}

function writeParameter(writer: BinaryWriter, parameter: Definition): void {
  if (parameter.in === "body") {
    nested(writer, 1, (body) => {
      text(body, 2, parameter.name);
      text(body, 3, "body");
      flag(body, 4, parameter.required);
      nested(body, 5, (schema) => writeSchema(schema, object(parameter.schema)));
    });
    return;
  }
  const isPath = parameter.in === "path";
  nested(writer, 2, (other) =>
    nested(other, isPath ? 4 : 3, (inner) => {
      flag(inner, 1, parameter.required);
      text(inner, 2, parameter.in);
      text(inner, 4, parameter.name);
      text(inner, isPath ? 5 : 6, parameter.type);
      flag(inner, isPath ? 19 : 20, parameter.uniqueItems);
    }),
  );
}

function writeSchema(writer: BinaryWriter, schema: Definition): void {
  text(writer, 1, schema.$ref);
  text(writer, 2, schema.format);
  if (schema.default !== undefined) any(writer, 5, schema.default);
  texts(writer, 19, schema.required);
  if (Array.isArray(schema.enum)) for (const value of schema.enum) any(writer, 20, value);
  const { additionalProperties, items, properties, type } = schema;
  if (isObject(additionalProperties))
    nested(writer, 21, (item) => nested(item, 1, (inner) => writeSchema(inner, additionalProperties)));
  if (typeof type === "string") nested(writer, 22, (item) => text(item, 1, type));
  if (isObject(items)) nested(writer, 23, (item) => nested(item, 1, (inner) => writeSchema(inner, items)));
  if (isObject(properties))
    nested(writer, 25, (inner) => {
      for (const [name, property] of Object.entries(properties))
        nested(inner, 1, (named) => writeNamedSchema(named, name, object(property)));
    });
  extensions(writer, 31, schema);
}
