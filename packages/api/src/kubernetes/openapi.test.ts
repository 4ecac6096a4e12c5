import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeOpenApiV2, type OpenApiResource, openApiV2, openApiV3 } from "./index.ts";

const resources: readonly OpenApiResource[] = [
  {
    group: "",
    version: "v1",
    kind: "Pod",
    plural: "pods",
    namespaced: true,
    verbs: ["get", "list", "create", "update", "patch", "delete", "deletecollection", "watch"],
    subresources: [
      { name: "status", verbs: ["get", "update", "patch"] },
      { name: "eviction", kind: { group: "policy", version: "v1", kind: "Eviction" }, verbs: ["create"] },
    ],
  },
];

/** Every reference of a document points at a definition that it has. */
function checkReferences(document: Record<string, unknown>, definitions: object, prefix: string): number {
  const references = [...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)].map(([, target = ""]) => target);
  for (const target of references) {
    assert.ok(target.startsWith(prefix), target);
    assert.ok(Object.hasOwn(definitions, target.slice(prefix.length)), target);
  }
  return references.length;
}

test("the v3 document says kinds, patch keys and parameters where kubectl looks for them", () => {
  const document = JSON.parse(JSON.stringify(openApiV3({ version: "v1.33.0" }, resources)));
  const { schemas } = document.components;
  assert.ok(checkReferences(document, schemas, "#/components/schemas/") > 100);
  assert.deepEqual(schemas["io.k8s.api.core.v1.Pod"]["x-kubernetes-group-version-kind"], [
    { group: "", kind: "Pod", version: "v1" },
  ]);
  const { containers } = schemas["io.k8s.api.core.v1.PodSpec"].properties;
  assert.equal(containers["x-kubernetes-patch-merge-key"], "name");
  assert.equal(containers["x-kubernetes-patch-strategy"], "merge");
  assert.deepEqual(containers["x-kubernetes-list-map-keys"], ["name"]);
  const object = document.paths["/api/v1/namespaces/{namespace}/pods/{name}"];
  assert.deepEqual(object.patch["x-kubernetes-group-version-kind"], { group: "", kind: "Pod", version: "v1" });
  assert.ok(object.patch.parameters.some((parameter: { name: string }) => parameter.name === "fieldValidation"));
  assert.ok(document.paths["/api/v1/pods"].get);
  const eviction = document.paths["/api/v1/namespaces/{namespace}/pods/{name}/eviction"];
  assert.equal(eviction.post["x-kubernetes-group-version-kind"].kind, "Eviction");
});

test("the v2 document holds together and has a protobuf form", () => {
  const document = openApiV2({ version: "v1.33.0" }, resources);
  assert.ok(checkReferences(document, Object(document.definitions), "#/definitions/") > 100);
  const bytes = encodeOpenApiV2(document);
  // Field 1 of openapi.v2.Document is the text "2.0".
  assert.deepEqual([...bytes.subarray(0, 5)], [0x0a, 3, 0x32, 0x2e, 0x30]);
});
