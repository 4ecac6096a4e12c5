import { createHash } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { encodeOpenApiV2, openApiV2, openApiV3 } from "@tripod/api/kubernetes";
import { acceptsAs } from "../http/negotiate.ts";
import { sendBytes, sendJson } from "../http/reply.ts";
import type { Resources } from "../registry/resources.ts";
import { aggregated, groupList, groupVersions, openApiResources, resourceList, serverVersion } from "./discovery.ts";

// What clients ask for has an @ in it, which is no valid media type: the reply's spelling has a dot instead, as upstream's.
const sentV2ContentType = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/** Serves what clients ask before they ask for resources: versions, groups, schemas. False for any other path. */
export class Discovery {
  readonly #resources: Resources;
  readonly #documents = new Map<string, Buffer>();

  constructor(resources: Resources) {
    this.#resources = resources;
  }

  async serve(http: IncomingMessage, response: ServerResponse, path: string): Promise<boolean> {
    const all = groupVersions(this.#resources);
    const accept = String(http.headers.accept ?? "");
    if (path === "/version") {
      await sendJson(http, response, serverVersion);
      return true;
    }
    if (path === "/api" || path === "/apis") {
      const root = path === "/api" ? "api" : "apis";
      const version = acceptsAs(accept, "apidiscovery.k8s.io", "APIGroupDiscoveryList");
      if (version === "v2" || version === "v2beta1") {
        const contentType = `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`;
        await this.#sendTagged(
          http,
          response,
          Buffer.from(JSON.stringify(aggregated(all, root, version))),
          contentType,
        );
      } else if (root === "api") {
        await sendJson(http, response, {
          kind: "APIVersions",
          versions: ["v1"],
          serverAddressByClientCIDRs: [{ clientCIDR: "0.0.0.0/0", serverAddress: http.headers.host ?? "" }],
        });
      } else await sendJson(http, response, groupList(all));
      return true;
    }
    const groupVersion = all.find(
      ({ group, version }) => path === (group === "" ? `/api/${version}` : `/apis/${group}/${version}`),
    );
    if (groupVersion !== undefined) {
      await sendJson(http, response, resourceList(groupVersion));
      return true;
    }
    const group = all.find((each) => each.group !== "" && path === `/apis/${each.group}`);
    if (group !== undefined) {
      const entry = { groupVersion: `${group.group}/${group.version}`, version: group.version };
      await sendJson(http, response, {
        kind: "APIGroup",
        apiVersion: "v1",
        name: group.group,
        versions: [entry],
        preferredVersion: entry,
      });
      return true;
    }
    return this.#serveOpenApi(http, response, path, accept);
  }

  async #serveOpenApi(http: IncomingMessage, response: ServerResponse, path: string, accept: string): Promise<boolean> {
    const all = groupVersions(this.#resources);
    const version = serverVersion.gitVersion;
    const keyOf = ({ group, version: served }: { group: string; version: string }): string =>
      group === "" ? `api/${served}` : `apis/${group}/${served}`;
    if (path === "/openapi/v3") {
      const paths = Object.fromEntries(
        all.map((each) => [
          keyOf(each),
          { serverRelativeURL: `/openapi/v3/${keyOf(each)}?hash=${this.#hash(keyOf(each))}` },
        ]),
      );
      await sendJson(http, response, { paths });
      return true;
    }
    const asked = all.find((each) => path === `/openapi/v3/${keyOf(each)}`);
    if (asked !== undefined) {
      await this.#sendTagged(http, response, this.#v3(keyOf(asked)), "application/json");
      return true;
    }
    if (path !== "/openapi/v2") return false;
    const document = (): object => openApiV2({ version }, openApiResources(this.#resources.all));
    if (accept.includes("proto-openapi.spec.v2")) {
      const bytes = this.#once("v2.pb", () =>
        Buffer.from(encodeOpenApiV2(document() as Parameters<typeof encodeOpenApiV2>[0])),
      ); // openApiV2's own result
      await this.#sendTagged(http, response, bytes, sentV2ContentType);
    } else
      await this.#sendTagged(
        http,
        response,
        this.#once("v2.json", () => Buffer.from(JSON.stringify(document()))),
        "application/json",
      );
    return true;
  }

  #v3(key: string): Buffer {
    return this.#once(key, () => {
      const [found] = groupVersions(this.#resources).filter(
        ({ group, version }) => key === (group === "" ? `api/${version}` : `apis/${group}/${version}`),
      );
      return Buffer.from(
        JSON.stringify(openApiV3({ version: serverVersion.gitVersion }, openApiResources(found?.resources ?? []))),
      );
    });
  }

  /** Clients keep a document for as long as its hash stays; ours changes with what the document is made from. */
  #hash(key: string): string {
    const [found] = groupVersions(this.#resources).filter(
      ({ group, version }) => key === (group === "" ? `api/${version}` : `apis/${group}/${version}`),
    );
    return createHash("sha256")
      .update(JSON.stringify([serverVersion, openApiResources(found?.resources ?? [])]))
      .digest("hex");
  }

  #once(key: string, make: () => Buffer): Buffer {
    let known = this.#documents.get(key);
    if (known === undefined) this.#documents.set(key, (known = make()));
    return known;
  }

  async #sendTagged(
    http: IncomingMessage,
    response: ServerResponse,
    bytes: Buffer,
    contentType: string,
  ): Promise<void> {
    const etag = `"${createHash("sha256").update(bytes).digest("hex")}"`;
    if (http.headers["if-none-match"] === etag) {
      response.writeHead(304, { etag });
      response.end();
      return;
    }
    await sendBytes(http, response, bytes, { contentType, headers: { etag, vary: "Accept" } });
  }
}
