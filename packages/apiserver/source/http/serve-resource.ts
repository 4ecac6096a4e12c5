import type { IncomingMessage, ServerResponse } from "node:http";
import type { DeleteOptions } from "@tripod/api/kubernetes";
import type { ApiObject } from "../registry/api-object.ts";
import type { ResourceDefinition } from "../registry/resource.ts";
import { create } from "../verbs/create.ts";
import { decodeAs, parseBody } from "../verbs/decode-body.ts";
import { remove } from "../verbs/delete.ts";
import { list } from "../verbs/list.ts";
import { patchChange } from "../verbs/patch-body.ts";
import { renderList, renderObject } from "../verbs/render.ts";
import type { ResourceRequest } from "../verbs/request.ts";
import { patch, read, update } from "../verbs/update.ts";
import { watch } from "../verbs/watch.ts";
import { ApiError, methodNotAllowed } from "./api-error.ts";
import { negotiate } from "./negotiate.ts";
import { readBody } from "./read-body.ts";
import { sendJson, sendLines } from "./reply.ts";

/** The verb of a request on a resource, as authorization and discovery name it. */
export function verbOf(method: string, name: string | undefined, query: URLSearchParams): string {
  const watching = query.get("watch");
  switch (method) {
    case "GET":
    case "HEAD":
      if (name === undefined) return watching === "true" || watching === "1" ? "watch" : "list";
      return "get";
    case "POST":
      return "create";
    case "PUT":
      return "update";
    case "PATCH":
      return "patch";
    case "DELETE":
      return name === undefined ? "deletecollection" : "delete";
    default:
      return method.toLowerCase();
  }
}

export const decodeOptionsOf = (request: ResourceRequest) => ({
  fieldValidation: request.query.get("fieldValidation"),
  warnings: request.warnings,
});

/** The object in the body, as the resource's kind. */
export async function bodyObject(
  http: IncomingMessage,
  request: ResourceRequest,
  kind: { group: string; version: string; kind: string } = request.resource,
): Promise<ApiObject> {
  const { value, duplicates } = parseBody({
    contentType: http.headers["content-type"] ?? "",
    bytes: await readBody(http),
  });
  return decodeAs(kind, value, duplicates, decodeOptionsOf(request));
}

async function deleteOptionsOf(http: IncomingMessage, request: ResourceRequest): Promise<DeleteOptions> {
  const bytes = await readBody(http);
  const options =
    bytes.length === 0
      ? {}
      : (parseBody({ contentType: http.headers["content-type"] ?? "", bytes }).value as DeleteOptions); // every field is optional, and those used are checked by use
  const grace = request.query.get("gracePeriodSeconds");
  return grace === null ? options : { ...options, gracePeriodSeconds: Number(grace) };
}

const deletedStatus = (resource: ResourceDefinition, object: ApiObject) => ({
  kind: "Status",
  apiVersion: "v1",
  metadata: {},
  status: "Success",
  details: {
    name: object.metadata.name,
    ...(resource.group === "" ? {} : { group: resource.group }),
    kind: resource.plural,
    uid: object.metadata.uid,
  },
});

/** The generic verbs on a resource or on its status. */
export async function serveResource(
  http: IncomingMessage,
  response: ServerResponse,
  request: ResourceRequest,
): Promise<void> {
  const { resource, query } = request;
  const format = negotiate(http.headers.accept ?? "", query);
  const verb = verbOf(http.method ?? "GET", request.name, query);
  const reply = (object: ApiObject, code = 200): Promise<void> =>
    sendJson(http, response, renderObject(resource, object, format), { code, warnings: request.warnings });
  switch (verb) {
    case "get":
      return reply(read(request));
    case "list":
      return sendJson(http, response, renderList(resource, await list(request), format));
    case "watch": {
      const abort = new AbortController();
      response.once("close", () => abort.abort());
      const timeoutMs = Number(query.get("timeoutSeconds") ?? 0) * 1000 || 1_800_000 + Math.random() * 1_800_000;
      const timer = setTimeout(() => abort.abort(), timeoutMs);
      try {
        return await sendLines(response, watch(request, format, abort.signal));
      } finally {
        clearTimeout(timer);
        abort.abort();
      }
    }
    case "create":
      if (request.name !== undefined) throw methodNotAllowed("create");
      return reply(create(request, await bodyObject(http, request)), 201);
    case "update":
      return reply(update(request, await bodyObject(http, request)));
    case "patch": {
      const change = patchChange(
        resource,
        http.headers["content-type"] ?? "",
        await readBody(http),
        decodeOptionsOf(request),
      );
      return reply(patch(request, change));
    }
    case "delete": {
      const { object, gone } = remove(request, read(request), await deleteOptionsOf(http, request));
      return gone ? sendJson(http, response, deletedStatus(resource, object)) : reply(object);
    }
    case "deletecollection": {
      const options = await deleteOptionsOf(http, request);
      const page = await list(request);
      for (const object of page.items) {
        try {
          remove(request, object, options);
        } catch (error) {
          if (!(error instanceof ApiError) || (error.code !== "not-found" && error.code !== "conflict")) throw error;
        }
      }
      return sendJson(http, response, renderList(resource, page, format));
    }
    default:
      throw methodNotAllowed(verb);
  }
}
