import assert from "node:assert/strict";
import { connect } from "node:net";
import { once } from "node:events";
import { after, before, test } from "node:test";
import { encodeProtobuf, kindsOf, messageSchema, type MessageSchema, type TypeSchema } from "@tripod/api/kubernetes";
import { listOf, plainRequest, TestServer, testConfigMap, testPod, textOf } from "../testing/test-server.ts";

let server: TestServer;
before(async () => {
  server = await TestServer.start();
});
after(() => server[Symbol.asyncDispose]());

const maps = "/api/v1/namespaces/default/configmaps";

for (const [why, method, path, code] of [
  ["no such path", "GET", "/nowhere", 404],
  ["no such group", "GET", "/apis/none.example/v1/things", 404],
  ["no such resource", "GET", "/api/v1/things", 404],
  ["no such subresource", "GET", `${maps}/x/status`, 404],
  ["a namespace where none belongs", "GET", "/api/v1/namespaces/default/nodes", 404],
  ["a broken escape", "GET", "/api/v1/namespaces/%ZZ/pods", 404],
  ["a slash in a name", "GET", `${maps}/a%2Fb`, 404],
  ["a name of two dots", "GET", `${maps}/%2E%2E`, 404],
  ["a zero byte in a name", "GET", `${maps}/a%00b`, 404],
  ["an unknown method", "PROPFIND", maps, 405],
  ["PUT on a collection", "PUT", maps, 405],
  ["POST on an object", "POST", `${maps}/x`, 405],
  ["list of what is only created", "GET", "/apis/authentication.k8s.io/v1/selfsubjectreviews", 405],
  ["a name without its namespace", "GET", "/api/v1/pods/x", 400],
  ["a limit that is none", "GET", `${maps}?limit=-1`, 400],
  ["a version that is none", "GET", `${maps}?watch=true&resourceVersion=abc`, 400],
  ["exec without an upgrade", "POST", "/api/v1/namespaces/default/pods/x/exec", 400],
  ["an endless query", "GET", `${maps}?labelSelector=${"a,".repeat(4000)}`, 400],
] as const)
  test(`${why} is ${code}, as a Status`, async () => {
    const reply = await server.call(method, path);
    assert.equal(reply.code, code, reply.text);
    assert.equal(reply.body.kind, "Status");
    assert.equal(reply.body.status, "Failure");
  });

for (const [why, contentType, body, code, message] of [
  ["no JSON", "application/json", "{", 400, /unrecognized/],
  ["a list", "application/json", "[]", 400, /must be an object/],
  ["null", "application/json", "null", 400, /must be an object/],
  ["another kind", "application/json", '{"kind":"Secret","apiVersion":"v1"}', 400, /is a \/v1, Kind=Secret/],
  [
    "a field of another type",
    "application/json",
    '{"metadata":{"name":"x"},"data":[]}',
    400,
    /cannot unmarshal array into field data of type map/,
  ],
  ["XML", "text/xml", "<a/>", 415, /accepted media types include: application\/json/],
  ["broken protobuf", "application/vnd.kubernetes.protobuf", "k8s\0\xff\xff", 400, /unrecognized/],
  [
    "a YAML bomb",
    "application/yaml",
    `a: &a [x,x,x,x,x,x,x,x,x]\n${"b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n".replace("b:", "b:")}c: [${"*b,".repeat(200)}*b]`,
    400,
    /unrecognized/,
  ],
  [
    "a polluting key",
    "application/json",
    '{"__proto__":{"x":1},"metadata":{"name":"Not A Name"}}',
    422,
    /metadata\.name: Invalid value/,
  ],
] as const)
  test(`a body that is ${why} is refused with its reason`, async () => {
    const reply = await server.call("POST", maps, { body, headers: { "content-type": contentType } });
    assert.equal(reply.code, code, reply.text);
    assert.match(textOf(reply.body.message), message);
  });

test("a body above 3 MiB is 413, announced or not", async () => {
  const body = JSON.stringify(testConfigMap("big", { x: "y".repeat(3 * 1024 * 1024) }));
  const announced = await server.call("POST", maps, { body, headers: { "content-type": "application/json" } });
  assert.equal(announced.code, 413);
  assert.equal(announced.body.reason, "RequestEntityTooLarge");
  assert.equal((await server.post(maps, testConfigMap("large", { x: "y".repeat(2 * 1024 * 1024) }))).code, 422);
});

test("protobuf bodies are read, as kubectl 1.32 and newer send them", async () => {
  const map = { ...testConfigMap("binary", { a: "1" }), apiVersion: "v1", kind: "ConfigMap" };
  const made = await server.call("POST", maps, {
    body: encodeProtobuf(map),
    headers: {
      "content-type": "application/vnd.kubernetes.protobuf",
      accept: "application/vnd.kubernetes.protobuf,application/json",
    },
  });
  assert.equal(made.code, 201);
  assert.equal(made.headers["content-type"], "application/json");
  assert.equal(made.body.data?.a, "1");
});

test("warnings are of ASCII and of a bounded length, whatever the fields are called", async () => {
  const object = {
    ...testConfigMap("warned"),
    ...Object.fromEntries(Array.from({ length: 200 }, (_, index) => [`ü\n"${index}${"x".repeat(50)}`, 1])),
  };
  const reply = await server.post(`${maps}?dryRun=All`, object);
  assert.equal(reply.code, 201);
  const warning = textOf(reply.headers.warning);
  assert.match(warning, /^299 - "unknown field \\"\\\\u\{fc\}/);
  assert.ok(warning.length < 6000);
});

test("bytes that are no TLS, and a client that goes away, hurt nobody", async () => {
  await plainRequest(server.port);
  const socket = connect(server.port, "127.0.0.1");
  await once(socket, "connect");
  socket.destroy();
  const watch = await server.open("GET", `${maps}?watch=true`);
  watch.destroy();
  assert.equal((await server.get("/readyz")).text, "ok");
});

test("replies are JSON whatever of it the client accepts, metadata alone where it asks", async () => {
  await server.post(maps, testConfigMap("partial", { a: "1" }));
  const headers = { accept: "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json" };
  const list = await server.get(`${maps}?fieldSelector=metadata.name%3Dpartial`, { headers });
  assert.equal(list.body.kind, "PartialObjectMetadataList");
  assert.deepEqual(Object.keys(listOf<object>(list.body.items)[0] ?? {}), ["kind", "apiVersion", "metadata"]);
});

/** A value of a type with everything that it can hold in it, and nothing that makes sense. */
function filled(type: TypeSchema, depth: number): unknown {
  switch (type.kind) {
    case "message": {
      const schema = messageSchema(type.name);
      return schema === undefined || depth === 0 ? {} : filledMessage(schema, depth - 1);
    }
    case "list":
      return [filled(type.of, depth)];
    case "map":
      return { "": filled(type.of, depth) };
    case "enum":
      return "";
    case "scalar":
      return {
        bool: false,
        int32: -1,
        int64: -1,
        double: -1,
        quantity: "-1",
        time: "2024-01-01T00:00:00Z",
        microtime: "2024-01-01T00:00:00Z",
        duration: "1s",
        fieldsv1: {},
        intorstring: -1,
        any: null,
        raw: {},
        string: "",
        bytes: "",
      }[type.name];
  }
}
const filledMessage = (schema: MessageSchema, depth: number): Record<string, unknown> =>
  Object.fromEntries(
    [...schema.byName]
      .filter(([name]) => name !== "metadata")
      .map(([name, field]) => [name, filled(field.type, depth)]),
  );

test("no object is so empty or so full that the server fails: it is taken or refused", async () => {
  const discovered = (
    await Promise.all(
      [
        "api/v1",
        "apis/storage.k8s.io/v1",
        "apis/node.k8s.io/v1",
        "apis/scheduling.k8s.io/v1",
        "apis/coordination.k8s.io/v1",
        "apis/events.k8s.io/v1",
      ].map((each) => server.get(`/${each}`)),
    )
  ).flatMap(
    (reply) =>
      listOf<{ name: string; kind: string; namespaced: boolean }>(reply.body.resources).map((each) => ({
        ...each,
        groupVersion: textOf(reply.body.groupVersion),
      })), // an APIResourceList
  );
  let count = 0;
  for (const { name, kind, namespaced, groupVersion } of discovered) {
    if (name.includes("/")) continue;
    const [version = "", group = ""] = groupVersion.split("/").toReversed();
    const found = kindsOf(group, version).find((each) => each.gvk.kind === kind);
    const schema = messageSchema(found?.message ?? "");
    assert.ok(schema, kind);
    const root = group === "" ? "/api/v1" : `/apis/${groupVersion}`;
    const path = `${root}${namespaced ? "/namespaces/default" : ""}/${name}`;
    for (const depth of [0, 1, 2, 3, 5]) {
      const object: object = {
        ...(depth === 0 ? {} : filledMessage(schema, depth)),
        apiVersion: groupVersion,
        kind,
        metadata: { generateName: "fuzz-" },
      };
      const reply = await server.post(`${path}?dryRun=All`, object);
      assert.ok(reply.code < 500, `${kind} at depth ${depth}: ${reply.text}`);
      // Tables print what is stored, so what is taken must be printable as well.
      const headers = { accept: "application/json;as=Table;v=v1;g=meta.k8s.io" };
      if (reply.code === 201)
        assert.ok((await server.post(`${path}?dryRun=All`, object, { headers })).code === 201, kind);
      count += 1;
    }
  }
  assert.ok(count > 80);
  const broken = await server.post(
    "/api/v1/namespaces/default/pods",
    testPod("x", { containers: [null], volumes: [{}], tolerations: [{}] }),
  );
  assert.ok(broken.code < 500, broken.text);
});
