import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { TripodError } from "@tripod/base";
import { parseReference, type RegistryAuth } from "@tripod/oci";
import { any, fallback, object, optional, record, safeParse, string } from "valibot";

const dockerConfig = object({
  auths: optional(
    record(string(), fallback(object({ auth: optional(string()), identitytoken: optional(string()) }), {})),
    {},
  ),
  credsStore: optional(any()),
});

/** The login for an image's registry: --creds, else what `docker login` (or skopeo, podman) left in docker's config.json. */
export function credentialsOf(image: string, creds: string | undefined): RegistryAuth | undefined {
  if (creds !== undefined) {
    const colon = creds.indexOf(":");
    if (colon < 1) throw new TripodError("invalid", "--creds: must be USER:PASSWORD");
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
