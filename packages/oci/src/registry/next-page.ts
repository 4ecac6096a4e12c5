import type { ExchangeReply } from "./exchange.ts";

/** Where a Link header says that a list goes on (RFC 8288, rel="next"); never on another host. */
export function nextPage({ headers }: Pick<ExchangeReply, "headers">, base: string): URL | undefined {
  const header = [headers.link ?? []].flat().join(",").slice(0, 8192);
  for (const [, target = "", parameters = ""] of header.matchAll(/<([^>]*)>([^<]*)/g)) {
    if (!/;\s*rel\s*=\s*"?next"?\s*(?:[;,]|$)/i.test(parameters) || !URL.canParse(target, base)) continue;
    const url = new URL(target, base);
    if (url.origin === new URL(base).origin) return url;
  }
  return undefined;
}
