import { TripodError } from "@tripod/base";
import { objectAt, parseJson } from "../spec/json.ts";
import type { Challenge } from "./challenge.ts";
import { basicHeader, type Credentials } from "./credentials.ts";
import { type Exchange, readBody } from "./exchange.ts";
import { registryError } from "./registry-error.ts";
import { isLoopback } from "./registry-host.ts";

export interface TokenRequest {
  readonly challenge: Challenge;
  readonly credentials: Credentials;
  /** "repository:NAME:pull" each. */
  readonly scopes: readonly string[];
  readonly secure: boolean;
  readonly signal: AbortSignal | undefined;
  /** Takes what is secret out of a text of the server's. */
  readonly mask: (text: string) => string;
}

const maxTokenBytes = 1024 * 1024;

/**
 * Asks the token server that a Bearer challenge names (distribution's token authentication specification): GET, with Basic where
 * there are a name and password; OAuth2's POST for an identity token.
 */
export async function fetchToken(exchange: Exchange, request: TokenRequest): Promise<string> {
  const { challenge, credentials, signal } = request;
  const { realm = "", service = "", scope } = challenge.parameters;
  if (!URL.canParse(realm))
    throw new TripodError("invalid", "log in to the registry: its challenge names no token server");
  const url = new URL(realm);
  const what = `ask ${url.host} for a token`;
  if (url.protocol !== "https:" && (url.protocol !== "http:" || (request.secure && !isLoopback(url.host)))) {
    throw new TripodError(
      "permission-denied",
      `${what}: credentials are not sent to ${url.protocol}//, only to https://`,
    );
  }
  const scopes = new Set([...(scope === undefined || scope === "" ? [] : scope.split(" ")), ...request.scopes]);
  const headers: Record<string, string> = { accept: "application/json" };
  let body: Uint8Array | undefined;
  if (credentials.kind === "identity") {
    const form = new URLSearchParams({
      grant_type: "refresh_token",
      service,
      client_id: "tripod",
      scope: [...scopes].join(" "),
      refresh_token: credentials.token,
    });
    headers["content-type"] = "application/x-www-form-urlencoded";
    body = Buffer.from(form.toString());
  } else {
    if (service !== "") url.searchParams.set("service", service);
    for (const item of scopes) url.searchParams.append("scope", item);
    if (credentials.kind === "basic") {
      url.searchParams.set("account", credentials.username);
      headers.authorization = basicHeader(credentials);
    }
  }
  const reply = await exchange.send({
    method: body === undefined ? "GET" : "POST",
    url,
    headers: body === undefined ? headers : { ...headers, "content-length": String(body.byteLength) },
    signal,
    ...(body === undefined ? {} : { body }),
  });
  const bytes = await readBody(reply.body, maxTokenBytes, what);
  if (reply.status !== 200) throw registryError(what, reply.status, bytes.toString(), request.mask);
  const answer = objectAt(parseJson(bytes, what), what);
  const token = answer.token ?? answer.access_token;
  if (typeof token !== "string" || token === "") throw new TripodError("invalid", `${what}: the answer holds no token`);
  return token;
}
