const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

export interface EnvironmentRequest {
  /** NAME=value strings of the image. */
  readonly image: readonly string[];
  /** NAME=value strings of the request; these win. */
  readonly own: readonly string[];
  readonly terminal: boolean;
  readonly hostname: string;
  readonly home: string;
}

/** The environment of a process: the request over the image over PATH, TERM, HOSTNAME and HOME; each name once. */
export function buildEnvironment(request: EnvironmentRequest): string[] {
  const byName = new Map<string, string>();
  const defaults = [
    defaultPath,
    ...(request.terminal ? ["TERM=xterm"] : []),
    `HOSTNAME=${request.hostname}`,
    `HOME=${request.home}`,
  ];
  for (const entry of [...defaults, ...request.image, ...request.own]) {
    const end = entry.indexOf("=");
    if (end === 0 || entry.includes("\0")) continue; // no name, or what execve cannot carry
    byName.set(end === -1 ? entry : entry.slice(0, end), end === -1 ? `${entry}=` : entry);
  }
  return [...byName.values()];
}
