import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isTripodError, messageOf, runCommand, TripodError } from "@tripod/base";

/** A command of a Go module at an exact version. */
export interface GoProgram {
  /** "k8s.io/kubernetes" */
  readonly module: string;
  /** "v1.37.2" */
  readonly version: string;
  /** Its folder in the module: "cmd/kubelet". */
  readonly command: string;
}

/** Where the built program is, or why this machine cannot have it. */
export type BuiltGoProgram = { readonly path: string } | { readonly skip: string };

const cacheDir = join(import.meta.dirname, "../../../.cache/go");

/** A large program from nothing on two cores takes eight minutes. */
const buildTimeoutMs = 15 * 60_000;

/** What Go says when a module cannot be had, as against one that does not compile. */
const cannotBeHad =
  /dial tcp|no such host|connection refused|i\/o timeout|network is unreachable|TLS handshake|403 Forbidden|404 Not Found|410 Gone|50\d |module lookup disabled|requires go >= /;

const nameOf = ({ command, version }: GoProgram): string => `${command.split("/").at(-1)}-${version}`;

/** The program as `buildGoProgram()` has left it; tests never wait for a compiler. */
export function goProgram(program: GoProgram): BuiltGoProgram {
  const path = join(cacheDir, nameOf(program));
  if (existsSync(path)) return { path };
  const why = existsSync(`${path}.why`) ? readFileSync(`${path}.why`, "utf8") : "it was not tried";
  return { skip: `${nameOf(program)} is not built (npm run check -- --only programs,sidecars): ${why}` };
}

/**
 * Builds a program from its Go module, unless it is there: the result is kept in `.cache/go` of this checkout, and Go keeps what it
 * compiled for the next checkout. A machine without Go, or one that the module is not served to, gets the reason; a module that does
 * not compile is an error.
 */
export async function buildGoProgram(program: GoProgram): Promise<BuiltGoProgram> {
  const name = nameOf(program);
  const path = join(cacheDir, name);
  if (existsSync(path)) return { path };
  mkdirSync(cacheDir, { recursive: true });
  const dir = mkdtempSync(join(cacheDir, "build-"));
  try {
    writeFileSync(join(dir, "go.mod"), await manifestOf(program, dir));
    const built = join(dir, name);
    const strip = "-ldflags=-s -w";
    await go(["build", "-mod=mod", "-trimpath", strip, "-o", built, `${program.module}/${program.command}`], dir);
    renameSync(built, path);
  } catch (error) {
    const why = whyNotHere(error);
    if (why === undefined)
      throw new TripodError("internal", `build ${name} of ${program.module}: ${messageOf(error)}`, { cause: error });
    writeFileSync(`${path}.why`, why);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
  return goProgram(program);
}

/** What of this machine kept a program from being built; undefined where the program is at fault. */
function whyNotHere(error: unknown): string | undefined {
  if (isTripodError(error, "not-found")) return "this machine has no Go";
  if (isTripodError(error, "timeout")) return `it took more than ${buildTimeoutMs / 60_000} minutes`;
  return messageOf(error)
    .split("\n")
    .findLast((line) => cannotBeHad.test(line))
    ?.trim();
}

const go = async (args: readonly string[], cwd: string): Promise<string> => {
  const { stdout } = await runCommand("go", args, { cwd, timeoutMs: buildTimeoutMs });
  return stdout.toString();
};

/**
 * A go.mod that requires the program's module alone. Where that replaces modules by folders of its own tree, as k8s.io/kubernetes
 * does, their releases of the same day take the folders' place: v0.37.2 for v1.37.2.
 */
async function manifestOf({ module, version }: GoProgram, dir: string): Promise<string> {
  const { GoMod } = JSON.parse(await go(["mod", "download", "-json", `${module}@${version}`], dir)) as {
    GoMod: string;
  }; // `go help mod download`
  const own = readFileSync(GoMod, "utf8");
  const language = /^go (\S+)$/m.exec(own)?.[1] ?? "1.21";
  const replaced = [...own.matchAll(/^\s*(?:replace )?(\S+) => \.\/\S+$/gm)].map(
    ([, name]) => `replace ${name} => ${name} ${version.replace(/^v1\./, "v0.")}`,
  );
  return [`module built-for-tests`, `go ${language}`, `require ${module} ${version}`, ...replaced, ""].join("\n");
}
