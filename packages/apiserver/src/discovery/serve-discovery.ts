import { createHash } from "node:crypto";
import { encodeOpenApiV2, openApiV2, openApiV3 } from "@tripod/api/kubernetes";
import { preferredVersion } from "../http/negotiate.ts";
import { type Exchange, sendBytes, sendJson } from "../http/reply.ts";
import type { Registry } from "../registry/registry.ts";
import {
  aggregated,
  groupAt,
  groupList,
  groupVersions,
  openApiResources,
  resourceList,
  serverVersion,
} from "./discovery.ts";

// What clients ask for has an @ in it, which is no valid media type: the reply's spelling has a dot instead, as upstream's.
const sentV2ContentType = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/** Serves what clients ask before they ask for resources: versions, groups, schemas. False for any other path. */
export class Discovery {
  readonly #registry: Registry;
  readonly #documents = new Map<string, Buffer>();

  constructor(registry: Registry) {
    this.#registry = registry;
  }

  async serve(exchange: Exchange, path: string): Promise<boolean> {
    const all = groupVersions(this.#registry);
    const accept = String(exchange.http.headers.accept ?? "");
    if (path === "/version") {
      await sendJson(exchange, serverVersion);
      return true;
    }
    if (path === "/api" || path === "/apis") {
      const root = path === "/api" ? "api" : "apis";
      const version = preferredVersion(accept, "apidiscovery.k8s.io", "APIGroupDiscoveryList");
      if (version === "v2" || version === "v2beta1") {
        const contentType = `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`;
        await this.#sendTagged(exchange, Buffer.from(JSON.stringify(aggregated(all, root, version))), contentType);
      } else if (root === "api") {
        await sendJson(exchange, {
          kind: "APIVersions",
          versions: ["v1"],
          serverAddressByClientCIDRs: [{ clientCIDR: "0.0.0.0/0", serverAddress: exchange.http.headers.host ?? "" }],
        });
      } else await sendJson(exchange, groupList(all));
      return true;
    }
    const groupVersion = all.find(
      ({ group, version }) => path === (group === "" ? `/api/${version}` : `/apis/${group}/${version}`),
    );
    if (groupVersion !== undefined) {
      await sendJson(exchange, resourceList(groupVersion));
      return true;
    }
    const group = groupAt(all, path);
    if (group !== undefined) {
      await sendJson(exchange, group);
      return true;
    }
    return this.#serveOpenApi(exchange, path, accept);
  }

  async #serveOpenApi(exchange: Exchange, path: string, accept: string): Promise<boolean> {
    const all = groupVersions(this.#registry);
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
      await sendJson(exchange, { paths });
      return true;
    }
    const asked = all.find((each) => path === `/openapi/v3/${keyOf(each)}`);
    if (asked !== undefined) {
      await this.#sendTagged(exchange, this.#v3(keyOf(asked)), "application/json");
      return true;
    }
    if (path !== "/openapi/v2") return false;
    const document = (): object => openApiV2({ version }, openApiResources(this.#registry.all));
    if (accept.includes("proto-openapi.spec.v2")) {
      const bytes = this.#once("v2.pb", () =>
        Buffer.from(encodeOpenApiV2(document() as Parameters<typeof encodeOpenApiV2>[0])),
      ); // openApiV2's own result
      await this.#sendTagged(exchange, bytes, sentV2ContentType);
    } else
      await this.#sendTagged(
        exchange,
        this.#once("v2.json", () => Buffer.from(JSON.stringify(document()))),
        "application/json",
      );
    return true;
  }

  #v3(key: string): Buffer {
    return this.#once(key, () => {
      const [found] = groupVersions(this.#registry).filter(
        ({ group, version }) => key === (group === "" ? `api/${version}` : `apis/${group}/${version}`),
      );
      return Buffer.from(
        JSON.stringify(openApiV3({ version: serverVersion.gitVersion }, openApiResources(found?.resources ?? []))),
      );
    });
  }

  /** Clients keep a document for as long as its hash stays; ours changes with what the document is made from. */
  #hash(key: string): string {
    const [found] = groupVersions(this.#registry).filter(
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

  async #sendTagged({ http, response }: Exchange, bytes: Buffer, contentType: string): Promise<void> {
    const etag = `"${createHash("sha256").update(bytes).digest("hex")}"`;
    if (http.headers["if-none-match"] === etag) {
      response.writeHead(304, { etag });
      response.end();
      return;
    }
    await sendBytes({ http, response }, bytes, { contentType, headers: { etag, vary: "Accept" } });
  }
}
