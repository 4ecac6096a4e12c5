const alphabet = "bcdfghjklmnpqrstvwxz2456789";

/** Five characters that spell no word. */
export const randomSuffix = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(5)), (byte) => alphabet[byte % alphabet.length]).join("");
