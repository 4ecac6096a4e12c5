import { spawnSync } from "node:child_process";
import { isNodeError, TripodError } from "@tripod/base";
import type { RegistryAuth } from "@tripod/oci";
import { object, optional, safeParse, string } from "valibot";

const answer = object({ Username: optional(string(), ""), Secret: string() });

/** A helper may ask its user for a password, or a service far away for a token. */
const timeoutMs = 60_000;

/**
 * What the program docker-credential-NAME keeps for a registry (docker's credential helper protocol): the registry goes in by standard
 * input, the login comes out as JSON. Undefined when it has none.
 */
export function askCredentialHelper(name: string, registry: string, from: string): RegistryAuth | undefined {
  const what = `login for ${registry}: ${from} names the credential helper ${JSON.stringify(name.slice(0, 100))}`;
  if (!/^[\w.-]{1,100}$/.test(name)) throw new TripodError("invalid", `${what}, which is no name of a program`);
  const program = `docker-credential-${name}`;
  const { status, stdout, stderr, error } = spawnSync(program, ["get"], {
    input: registry,
    encoding: "utf8",
    timeout: timeoutMs,
    maxBuffer: 1024 * 1024,
  });
  if (error !== undefined) {
    const why = isNodeError(error, "ENOENT")
      ? `but ${program} is not on the PATH`
      : `which does not run: ${error.message}`;
    throw new TripodError("failed-precondition", `${what}, ${why}; install it, or take it out of that file`, {
      cause: error,
    });
  }
  if (status !== 0) {
    // Helpers say so on either stream, in these words.
    if (/credentials not found|no credentials/i.test(`${stdout}${stderr}`)) return undefined;
    throw new TripodError("failed-precondition", `${what}, which ended with ${status}: ${stderr.trim().slice(0, 300)}`);
  }
  let value: unknown;
  try {
    value = JSON.parse(stdout);
  } catch {
    value = undefined; // not shown: it may be half of a secret
  }
  const parsed = safeParse(answer, value);
  if (!parsed.success) throw new TripodError("invalid", `${what}, which answered with something else than a login`);
  const { Username: username, Secret: secret } = parsed.output;
  return username === "<token>" ? { identityToken: secret } : { username, password: secret };
}
