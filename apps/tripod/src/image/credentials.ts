import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { TripodError } from "@tripod/base";
import { parseReference, type RegistryAuth } from "@tripod/oci";
import { fallback, object, optional, record, safeParse, string } from "valibot";
import { askCredentialHelper } from "./credential-helper.ts";

const dockerConfig = object({
  auths: optional(
    record(string(), fallback(object({ auth: optional(string()), identitytoken: optional(string()) }), {})),
    {},
  ),
  credsStore: optional(fallback(string(), ""), ""),
  credHelpers: optional(fallback(record(string(), string()), {}), {}),
});

let input: string | undefined;

/** What was given as --creds; "-" is standard input's first line, for a command line shows in every list of processes. */
function given(creds: string): string {
  if (creds !== "-") return creds;
  input ??= readFileSync(0, "utf8").split(/\r?\n/)[0] ?? "";
  return input;
}

/**
 * The login for an image's registry: --creds, else what `docker login` (or skopeo, podman) left in docker's config.json, or the credential
 * helper that is named there for the registry (credHelpers) or for all (credsStore).
 */
export function credentialsOf(image: string, option: string | undefined): RegistryAuth | undefined {
  if (option !== undefined) {
    const creds = given(option);
    const colon = creds.indexOf(":");
    if (colon < 1)
      throw new TripodError("invalid", "--creds: must be USER:PASSWORD, or - to read that from standard input");
    return { username: creds.slice(0, colon), password: creds.slice(colon + 1) };
  }
  const file = join(process.env.DOCKER_CONFIG ?? join(homedir(), ".docker"), "config.json");
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch {
    return undefined; // nobody has logged in: that is usual
  }
  const parsed = safeParse(dockerConfig, parseJson(text));
  if (!parsed.success) return undefined;
  const { host } = parseReference(image);
  const names =
    host === "docker.io"
      ? ["https://index.docker.io/v1/", "docker.io"]
      : [host, `https://${host}`, `https://${host}/v2/`];
  const { credHelpers, credsStore } = parsed.output;
  const own = names.find((name) => credHelpers[name] !== undefined);
  const helper = own === undefined ? credsStore : (credHelpers[own] ?? "");
  if (helper !== "") {
    const known = askCredentialHelper(helper, own ?? names[0] ?? host, file);
    if (known !== undefined || own !== undefined) return known;
  }
  for (const name of names) {
    const found = parsed.output.auths[name];
    if (found?.identitytoken) return { identityToken: found.identitytoken };
    if (found?.auth) return { auth: found.auth };
  }
  return undefined;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // another tool's damaged file must not keep us from anonymous pulls
  }
}
