import type { Credentials } from "./credentials.ts";

/** Shorter ones are no secrets, and would take ordinary words out of messages. */
const minLength = 6;

/** What a host has been shown and may repeat in its answers, so that it is kept out of errors, logs and spans. */
export class ShownSecrets {
  readonly #secrets = new Set<string>();

  add(...secrets: readonly string[]): void {
    for (const secret of secrets)
      for (const form of [
        secret,
        encodeURIComponent(secret),
        Buffer.from(secret).toString("base64").replace(/=+$/, ""),
      ])
        if (form.length >= minLength) this.#secrets.add(form);
  }

  /** All that a login consists of, but for the name. */
  addCredentials(credentials: Credentials): void {
    if (credentials.kind === "basic") this.add(credentials.password, `${credentials.username}:${credentials.password}`);
    else if (credentials.kind !== "anonymous") this.add(credentials.token);
  }

  /** The text with each secret in it, as it is or encoded, replaced by "[redacted]". */
  mask(text: string): string {
    let masked = text;
    // The longest first: one may be a part of another.
    for (const secret of [...this.#secrets].toSorted((a, b) => b.length - a.length))
      masked = masked.replaceAll(secret, "[redacted]");
    return masked;
  }
}
