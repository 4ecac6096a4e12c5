import type { Readable } from "node:stream";
import { messageOf, TripodError } from "@tripod/base";
import { withSpan } from "@tripod/trace";
import { parseChallenges } from "./challenge.ts";
import { basicHeader, type Credentials } from "./credentials.ts";
import { Exchange, type ExchangeReply, readBody } from "./exchange.ts";
import { registryError } from "./registry-error.ts";
import { isLoopback, type RegistryHost } from "./registry-host.ts";
import { ShownSecrets } from "./shown-secrets.ts";
import { Attempts, isPassingError, isPassingStatus, retryAfterMs } from "./retry.ts";
import { fetchToken } from "./token.ts";

export interface HostRequest {
  readonly method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Below the API's base ("/library/busybox/tags/list"), or a whole URL as a Location header gave it. */
  readonly path: string | URL;
  readonly headers?: Readonly<Record<string, string>>;
  readonly query?: Readonly<Record<string, string>>;
  /** Small bytes, or what makes a new stream for each attempt. */
  readonly body?: Uint8Array | (() => Readable);
  /** Statuses that are an answer, not an error. */
  readonly accept: readonly number[];
  readonly scopes: readonly string[];
  /** Not tried again here: part of what was sent may have counted. */
  readonly once?: boolean;
  readonly signal?: AbortSignal | undefined;
}

const maxRedirects = 5;
const maxErrorBytes = 64 * 1024;

/** Speaks to one registry host: logs in when asked to, follows redirects, tries again what may pass. */
export class HostSession implements Disposable {
  readonly host: RegistryHost;
  readonly #credentials: Credentials;
  readonly #namespace: string | undefined;
  readonly #exchange: Exchange;
  /** For other hosts that we are sent to: same trust, but never this host's client certificate. */
  readonly #elsewhere: Exchange;
  readonly #attempts: number;
  readonly #shown = new ShownSecrets();
  #base: string;
  #authorization: string | undefined;
  #spoken = false;

  /** `namespace`: the registry that a mirror stands for, sent as ?ns= like containerd does. */
  constructor(host: RegistryHost, options: { readonly credentials: Credentials; readonly namespace?: string }) {
    this.host = host;
    this.#credentials = host.origin ? options.credentials : { kind: "anonymous" };
    this.#shown.addCredentials(this.#credentials);
    this.#shown.add(...secretHeaders(host.headers));
    this.#namespace = host.origin ? undefined : options.namespace;
    this.#base = host.base;
    this.#exchange = new Exchange(host.tls);
    const { ca, skipVerify } = host.tls;
    this.#elsewhere = new Exchange({
      ...(ca === undefined ? {} : { ca }),
      ...(skipVerify === undefined ? {} : { skipVerify }),
    });
    this.#attempts = host.origin ? 5 : 2;
  }

  /** The host's name, for messages. */
  get name(): string {
    return new URL(this.#base).host;
  }

  /** The API's base as it is spoken to now. */
  get base(): string {
    return this.#base;
  }

  /** Sends a request; an answer whose status is not among `accept` is an error with the registry's reason. */
  async request(request: HostRequest): Promise<ExchangeReply> {
    const url = this.#urlOf(request);
    const what = `${request.method} ${url.host}${url.pathname}`;
    return withSpan(`registry ${request.method}`, { url: `${url.origin}${url.pathname}` }, async (span) => {
      const attempts = new Attempts(request.once === true ? 1 : this.#attempts);
      for (;;) {
        let reply: ExchangeReply;
        try {
          reply = await this.#authorized(request);
        } catch (error) {
          request.signal?.throwIfAborted();
          if (isPassingError(error) && (await attempts.again(request.signal))) continue;
          throw error instanceof TripodError
            ? error
            : new TripodError("unavailable", `${what}: ${explain(error)}`, { cause: error });
        }
        span.set({ status: reply.status });
        if (request.accept.includes(reply.status)) return reply;
        const text = (await readBody(reply.body, maxErrorBytes, what)).toString();
        const wait = retryAfterMs(reply.headers["retry-after"], Date.now());
        if (isPassingStatus(reply.status) && (await attempts.again(request.signal, wait))) continue;
        throw registryError(what, reply.status, text, (reason) => this.#shown.mask(reason));
      }
    });
  }

  #urlOf({ path, query }: HostRequest): URL {
    const url = new URL(typeof path === "string" ? `${this.#base}${path}` : path);
    for (const [key, value] of Object.entries(query ?? {})) url.searchParams.append(key, value);
    if (this.#namespace !== undefined && typeof path === "string") url.searchParams.set("ns", this.#namespace);
    return url;
  }

  async #authorized(request: HostRequest): Promise<ExchangeReply> {
    let shown = this.#authorization;
    let reply = await this.#redirected(request);
    if (reply.status === 401 && this.#authorization !== shown) {
      // Another request has logged in meanwhile.
      reply.body.destroy();
      shown = this.#authorization;
      reply = await this.#redirected(request);
    }
    if (reply.status !== 401) return reply;
    const challenges = parseChallenges(String(reply.headers["www-authenticate"] ?? ""));
    const bearer = challenges.find((challenge) => challenge.scheme === "bearer");
    const basic = challenges.some((challenge) => challenge.scheme === "basic");
    if (this.#credentials.kind === "bearer") this.#authorization = `Bearer ${this.#credentials.token}`;
    else if (bearer !== undefined) {
      reply.body.resume();
      const token = await fetchToken(this.#elsewhere, {
        challenge: bearer,
        credentials: this.#credentials,
        scopes: request.scopes,
        secure: this.#base.startsWith("https:"),
        signal: request.signal,
        mask: (text) => this.#shown.mask(text),
      });
      this.#shown.add(token);
      this.#authorization = `Bearer ${token}`;
    } else if (basic && this.#credentials.kind === "basic") this.#authorization = basicHeader(this.#credentials);
    if (this.#authorization === shown) return reply; // nothing better to show: 401 is the answer
    reply.body.destroy();
    return this.#redirected(request);
  }

  async #redirected(request: HostRequest): Promise<ExchangeReply> {
    let url = this.#urlOf(request);
    for (let hop = 0; hop <= maxRedirects; hop += 1) {
      // What belongs to this host (login, configured headers, client certificate) stays with it.
      const same = url.host === new URL(this.#base).host && url.protocol === new URL(this.#base).protocol;
      const body = typeof request.body === "function" ? request.body() : request.body;
      const headers = {
        ...request.headers,
        ...(body instanceof Uint8Array ? { "content-length": String(body.byteLength) } : {}),
        ...(same ? this.host.headers : {}),
        ...(same && this.#authorization !== undefined ? { authorization: this.#authorization } : {}),
      };
      let reply: ExchangeReply;
      try {
        const exchange = same ? this.#exchange : this.#elsewhere;
        reply = await exchange.send({
          method: request.method,
          url,
          headers,
          signal: request.signal,
          ...(body === undefined ? {} : { body }),
        });
        if (same) this.#spoken = true;
      } catch (error) {
        if (!same || url.protocol !== "https:" || !this.#mayFallBack(error)) throw error;
        this.#base = this.#base.replace(/^https:/, "http:");
        this.#spoken = true;
        return this.#redirected(request);
      }
      const { location } = reply.headers;
      const followed = request.method === "GET" || request.method === "HEAD";
      if (!followed || reply.status < 301 || reply.status > 308 || location === undefined) return reply;
      reply.body.destroy();
      if (!URL.canParse(location, url))
        throw new TripodError("invalid", `${request.method} ${url.host}: sends us to what is no URL`);
      const next = new URL(location, url);
      const downgrade = url.protocol === "https:" && next.protocol !== "https:" && !isLoopback(next.host);
      if (downgrade || !/^https?:$/.test(next.protocol)) {
        throw new TripodError(
          "permission-denied",
          `${request.method} ${url.host}: sends us from https to ${next.protocol}//, which is refused`,
        );
      }
      url = next;
    }
    throw new TripodError("invalid", `${request.method} ${url.host}: more than ${maxRedirects} redirects`);
  }

  /** A loopback registry that does not speak TLS is spoken to without; another request may have found out meanwhile. */
  #mayFallBack(error: unknown): boolean {
    return this.host.httpFallback && isNotTls(error) && (!this.#spoken || this.#base.startsWith("http:"));
  }

  [Symbol.dispose](): void {
    this.#exchange[Symbol.dispose]();
    this.#elsewhere[Symbol.dispose]();
  }
}

/** The values of configured headers that are there to log in with, by their names; without the scheme, too. */
function secretHeaders(headers: RegistryHost["headers"]): string[] {
  const values = Object.entries(headers).filter(([name]) => /auth|cookie|token|key|secret|password/i.test(name));
  return values.flatMap(([, value]) => value).flatMap((value) => [value, value.slice(value.indexOf(" ") + 1)]);
}

function isNotTls(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return code.startsWith("ERR_SSL_") || code === "EPROTO" || code === "ECONNRESET";
}

const words: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nothing listens there; check the registry's address",
  ENOTFOUND: "no such host; check the name",
  EAI_AGAIN:
    "its name cannot be resolved; check the network and /etc/resolv.conf, or name a mirror in certs.d/HOST/hosts.toml",
  EHOSTUNREACH: "the host cannot be reached; check the network",
  ENETUNREACH:
    "the network cannot be reached; check this machine's routes, or name a mirror in certs.d/HOST/hosts.toml",
  DEPTH_ZERO_SELF_SIGNED_CERT: "its certificate is self-signed; put its CA into certs.d/HOST/hosts.toml",
  SELF_SIGNED_CERT_IN_CHAIN: "its certificate's CA is unknown; put it into certs.d/HOST/hosts.toml",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "its certificate's CA is unknown; put it into certs.d/HOST/hosts.toml",
  CERT_HAS_EXPIRED: "its certificate has expired",
};

function explain(error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return (
    words[code] ??
    (code.startsWith("ERR_SSL_") || code === "EPROTO" ? `it does not speak TLS (${code})` : messageOf(error))
  );
}
