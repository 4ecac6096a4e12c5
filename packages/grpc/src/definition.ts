import {
  create,
  type DescMethod,
  type DescService,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import type { MethodDefinition, ServiceDefinition } from "@grpc/grpc-js";

/** A grpc-js method over a generated one: plain messages in and out, bytes on the wire. */
export function methodDefinition(
  service: DescService,
  method: DescMethod,
): MethodDefinition<MessageShape<DescMethod["input"]>, MessageShape<DescMethod["output"]>> {
  const { input, output } = method;
  const serialize = (desc: typeof input) => (value: MessageInitShape<typeof desc>) =>
    Buffer.from(toBinary(desc, create(desc, value)));
  return {
    path: `/${service.typeName}/${method.name}`,
    requestStream: method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming",
    responseStream: method.methodKind === "server_streaming" || method.methodKind === "bidi_streaming",
    requestSerialize: serialize(input),
    requestDeserialize: (bytes) => fromBinary(input, bytes),
    responseSerialize: serialize(output),
    responseDeserialize: (bytes) => fromBinary(output, bytes),
  };
}

/** Every method of `service`, by its local (camel case) name. */
export function serviceDefinition(service: DescService): ServiceDefinition {
  return Object.fromEntries(service.methods.map((method) => [method.localName, methodDefinition(service, method)]));
}
