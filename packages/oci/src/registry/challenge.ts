/** One WWW-Authenticate challenge (RFC 9110, 11.6.1). Scheme and parameter names are in lower case. */
export interface Challenge {
  readonly scheme: string;
  readonly parameters: Readonly<Record<string, string>>;
}

const token = /[!#$%&'*+\-.^_`|~0-9A-Za-z]+/y;
const parameter = /\s*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))\s*/y;

/** Reads a header that may hold several challenges; what does not parse ends it. */
export function parseChallenges(header: string): Challenge[] {
  const text = header.slice(0, 8192);
  const challenges: Challenge[] = [];
  let at = 0;
  while (at < text.length) {
    while (/[\s,]/.test(text[at] ?? "")) at += 1;
    token.lastIndex = at;
    const scheme = token.exec(text)?.[0];
    if (scheme === undefined) break;
    at = token.lastIndex;
    const parameters: Record<string, string> = {};
    for (;;) {
      parameter.lastIndex = at;
      const found = parameter.exec(text);
      if (found?.[1] === undefined) break;
      parameters[found[1].toLowerCase()] = found[2]?.replaceAll(/\\(.)/g, "$1") ?? found[3] ?? "";
      at = parameter.lastIndex;
      if (text[at] !== ",") break;
      at += 1;
    }
    challenges.push({ scheme: scheme.toLowerCase(), parameters });
  }
  return challenges;
}
