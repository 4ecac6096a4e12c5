import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeProtobuf, encodeProtobuf } from "./protobuf.ts";

// Bodies that kubectl 1.33 posted to a server that printed them, each under the arguments that it was started with.
const captured: readonly { command: string; base64: string; object: object }[] = [
  {
    command: "kubectl create configmap settings --from-literal=color=blue --validate=false",
    base64: "azhzAAoPCgJ2MRIJQ29uZmlnTWFwEikKGAoIc2V0dGluZ3MSABoAIgAqADIAOABCABINCgVjb2xvchIEYmx1ZRoAIgA=",
    object: { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "settings" }, data: { color: "blue" } },
  },
  {
    command: "kubectl create deployment web --image=nginx --replicas=2 --port=80 --validate=false",
    base64:
      "azhzAAoVCgdhcHBzL3YxEgpEZXBsb3ltZW50ErgBCh8KA3dlYhIAGgAiACoAMgA4AEIAWgoKA2FwcBIDd2ViEoYBCAISDAoKCgNhcHASA3dlYhpsChwKABIAGgAiACoAMgA4AEIAWgoKA2FwcBIDd2ViEkwSLgoFbmdpbngSBW5naW54KgAyCgoAEAAYUCIAKgBCAGoAcgCAAQCIAQCQAQCiAQAaADIAQgBKAFIAWABgAGgAggEAigEAmgEAwgEAIgIKACgAOAAaDAgAEAAYACAAKAA4ABoAIgA=",
    object: {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "web", labels: { app: "web" } },
      spec: {
        replicas: 2,
        selector: { matchLabels: { app: "web" } },
        template: {
          metadata: { labels: { app: "web" } },
          spec: { containers: [{ name: "nginx", image: "nginx", ports: [{ containerPort: 80 }] }] },
        },
      },
    },
  },
  {
    command: "kubectl create token default --duration=10m",
    base64:
      "azhzAAooChhhdXRoZW50aWNhdGlvbi5rOHMuaW8vdjESDFRva2VuUmVxdWVzdBIdChAKABIAGgAiACoAMgA4AEIAEgMg2AQaBAoAEgAaACIA",
    object: {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenRequest",
      spec: { expirationSeconds: 600 },
      status: { token: "" },
    },
  },
  {
    command: "kubectl auth can-i --list",
    base64:
      "azhzAAoxChdhdXRob3JpemF0aW9uLms4cy5pby92MRIWU2VsZlN1YmplY3RSdWxlc1JldmlldxIjChAKABIAGgAiACoAMgA4AEIAEgkKB2RlZmF1bHQaBBgAIgAaACIA",
    object: {
      apiVersion: "authorization.k8s.io/v1",
      kind: "SelfSubjectRulesReview",
      spec: { namespace: "default" },
      status: { incomplete: false },
    },
  },
];
for (const { command, base64, object } of captured)
  test(`decodeProtobuf reads what ${command} sends`, () => {
    assert.deepEqual(decodeProtobuf(Buffer.from(base64, "base64")), object);
    assert.deepEqual(decodeProtobuf(encodeProtobuf(object)), object);
  });

test("objects with every special form survive the way to bytes and back", () => {
  const pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: "a",
      creationTimestamp: "2024-01-02T03:04:05Z",
      deletionGracePeriodSeconds: 0,
      generation: 4_503_599_627_370_497,
      labels: JSON.parse('{"__proto__":"x","b":""}'),
      managedFields: [{ manager: "m", operation: "Apply", fieldsV1: { "f:spec": { "f:x": {} } } }],
    },
    spec: {
      containers: [
        {
          name: "c",
          resources: { limits: { cpu: "500m", memory: "1Gi" } },
          livenessProbe: { tcpSocket: { port: "http" }, initialDelaySeconds: -1 },
          readinessProbe: { httpGet: { port: 8080, path: "/ä" } },
          securityContext: { runAsNonRoot: false },
        },
      ],
      volumes: [{ name: "v", emptyDir: {} }],
      tolerations: [{ operator: "Exists", tolerationSeconds: 300 }],
    },
  };
  assert.deepEqual(decodeProtobuf(encodeProtobuf(pod)), pod);
  const lists = {
    apiVersion: "storage.k8s.io/v1",
    kind: "CSINodeList",
    metadata: { resourceVersion: "5" },
    items: [{ metadata: { name: "n" }, spec: { drivers: [{ name: "d", nodeID: "n", topologyKeys: ["a", "b"] }] } }],
  };
  assert.deepEqual(decodeProtobuf(encodeProtobuf(lists)), lists);
  const event = {
    apiVersion: "v1",
    kind: "Event",
    metadata: { name: "e" },
    involvedObject: { kind: "Pod" },
    eventTime: "2024-01-01T00:00:00.123456Z",
  };
  assert.deepEqual(decodeProtobuf(encodeProtobuf(event)), event);
  const secret = { apiVersion: "v1", kind: "Secret", metadata: { name: "s" }, data: { key: "AP8=" } };
  assert.deepEqual(decodeProtobuf(encodeProtobuf(secret)), secret);
  const review = {
    apiVersion: "authentication.k8s.io/v1",
    kind: "TokenReview",
    spec: {},
    status: { user: { username: "u", extra: { scopes: ["a", "b"] } } },
  };
  assert.deepEqual(decodeProtobuf(encodeProtobuf(review)), review);
});

const good = encodeProtobuf({ apiVersion: "v1", kind: "ConfigMap" });
const bad: readonly (readonly [why: string, bytes: Uint8Array])[] = [
  ["nothing", new Uint8Array()],
  ["no magic", Buffer.from("{}")],
  ["a kind that nobody knows", Buffer.from("k8s\0\x0a\x06\x0a\x01x\x12\x01y", "latin1")],
  ["a field that is longer than the body", Buffer.concat([good, Uint8Array.of(0x12, 0x7f, 1)])],
  ["a varint without an end", Buffer.concat([good, new Uint8Array(12).fill(0xff)])],
  ["a group that is not closed", Buffer.concat([good, Uint8Array.of(0x2b)])],
  ["text that is no UTF-8", Buffer.from("k8s\0\x0a\x04\x0a\x02\xff\xfe", "latin1")],
];
for (const [why, bytes] of bad)
  test(`decodeProtobuf refuses ${why}`, () => assert.throws(() => decodeProtobuf(bytes), { code: "invalid" }));

test("decodeProtobuf stands any cut of a real body", () => {
  const whole = Buffer.from(captured[1]?.base64 ?? "", "base64");
  for (let length = 0; length < whole.length; length += 1) {
    try {
      decodeProtobuf(whole.subarray(0, length));
    } catch (error) {
      assert.equal((error as { code?: string }).code, "invalid", `cut at ${length}: ${String(error)}`);
    }
  }
});
