/** One place to ask for images. */
export interface RegistryHost {
  /** The API's base, "https://mirror.example/v2"; no slash at the end. */
  readonly base: string;
  readonly capabilities: ReadonlySet<Capability>;
  /** The registry that the reference names, or the `server` that stands for it: only it gets the user's credentials. */
  readonly origin: boolean;
  /** Plain HTTP is tried when TLS is not spoken: loopback registries only. */
  readonly httpFallback: boolean;
  readonly tls: RegistryTls;
  /** Sent with each request to this host. */
  readonly headers: Readonly<Record<string, string | string[]>>;
}

export type Capability = "pull" | "resolve" | "push";

export interface RegistryTls {
  readonly skipVerify?: boolean;
  /** PEM; in addition to the system's. */
  readonly ca?: readonly string[];
  /** Client certificates, PEM. */
  readonly cert?: string;
  readonly key?: string;
}

/** True for localhost, 127.0.0.0/8 and ::1, with or without port. */
export const isLoopback = (host: string): boolean =>
  /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/.test(host) || host.endsWith(".localhost");

const everything: ReadonlySet<Capability> = new Set(["pull", "resolve", "push"]);

/** Where a registry is when nothing is configured about it. */
export function defaultHost(host: string): RegistryHost {
  return {
    base: `https://${host === "docker.io" ? "registry-1.docker.io" : host}/v2`,
    capabilities: everything,
    origin: true,
    httpFallback: isLoopback(host),
    tls: {},
    headers: {},
  };
}
