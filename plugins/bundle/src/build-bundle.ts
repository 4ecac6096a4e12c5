import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { TripodError } from "@tripod/base";

/** The files behind the launchers: one program, and the native part of koffi that it loads from beside itself. */
export interface PluginBundle {
  readonly program: Uint8Array;
  readonly native: Uint8Array;
}

/**
 * Parts of Node that cost milliseconds to load and that most calls of a plugin do without: loaded when a function of theirs is first
 * called. A function that is missing here is an error of the build, which says so.
 */
const lazy: Readonly<Record<string, readonly string[]>> = {
  "node:child_process": ["spawn"],
  "node:fs/promises": ["mkdir", "open", "readdir", "readFile", "rename", "rm", "rmdir", "stat", "writeFile"],
  "node:net": ["connect", "createServer", "Socket"],
  "node:timers/promises": ["setTimeout"],
};

const here = dirname(fileURLToPath(import.meta.url));

/** Where a released package carries its program, so that an installation needs no bundler. */
const released = join(here, "tripod-cni.cjs");

/** The program from the release, or, in a checkout, built by esbuild from the sources. */
export async function pluginBundle(): Promise<PluginBundle> {
  const native = readFileSync(nativePath());
  if (!existsSync(join(here, "main.ts"))) return { program: readFileSync(released), native };
  return { program: await buildProgram(), native };
}

/** One CommonJS file in ASCII, which a launcher reads, and V8 keeps, as it is. */
export async function buildProgram(): Promise<Uint8Array> {
  const { build } = await import("esbuild");
  const result = await build({
    entryPoints: [join(here, "main.ts")],
    bundle: true,
    write: false,
    platform: "node",
    charset: "ascii",
    format: "cjs",
    target: "node24",
    minify: true,
    keepNames: false,
    legalComments: "none",
    logLevel: "silent",
    plugins: [
      {
        name: "tripod",
        setup(builder) {
          builder.onResolve({ filter: /^koffi$/ }, () => ({ path: "koffi", namespace: "native" }));
          builder.onLoad({ filter: /.*/, namespace: "native" }, () => ({
            // Straight to what require() does at last.
            contents: 'process.dlopen(module, __dirname + "/koffi.node");',
            loader: "js",
          }));
          builder.onResolve({ filter: /^node:crypto$/ }, () => ({
            path: join(here, "small-crypto.ts"),
            sideEffects: false,
          }));
          builder.onResolve({ filter: /^node:/ }, ({ path }) =>
            path in lazy ? { path, namespace: "lazy", sideEffects: false } : undefined,
          );
          builder.onLoad({ filter: /.*/, namespace: "lazy" }, ({ path }) => ({
            contents: (lazy[path] ?? [])
              .map(
                (name) =>
                  `export function ${name}(...given) { return process.getBuiltinModule("${path}").${name}(...given); }`,
              )
              .join("\n"),
            loader: "js",
          }));
          // Our own modules do nothing but define: what a plugin does not use is left out, with all that it imports.
          builder.onResolve({ filter: /^@tripod\// }, async (found) => {
            if (found.pluginData === "resolved") return undefined;
            const { path, errors } = await builder.resolve(found.path, {
              resolveDir: found.resolveDir,
              kind: found.kind,
              importer: found.importer,
              pluginData: "resolved",
            });
            return { path, errors, sideEffects: false };
          });
          builder.onResolve({ filter: /^\.\.?\// }, async (found) => {
            if (found.pluginData === "resolved" || found.importer.includes("node_modules")) return undefined;
            const { path, errors } = await builder.resolve(found.path, {
              resolveDir: found.resolveDir,
              kind: found.kind,
              importer: found.importer,
              pluginData: "resolved",
            });
            return { path, errors, sideEffects: false };
          });
        },
      },
    ],
  });
  const [output] = result.outputFiles;
  if (output === undefined) throw new TripodError("internal", "build the plugins' program: esbuild gave no output");
  return output.contents;
}

/** The native library of koffi for this machine, among koffi's prebuilt packages. */
function nativePath(): string {
  const main = createRequire(import.meta.url).resolve("koffi");
  const koffi = main.slice(0, main.lastIndexOf(join("node_modules", "koffi")) + join("node_modules", "koffi").length);
  const platform = `${process.platform}-${process.arch}`;
  const folder = join(koffi, "..", "@koromix", `koffi-${platform}`);
  const [system, musl] = ["linux", "musl"].map((libc) => join(folder, `${libc}_${process.arch}`, "koffi.node"));
  const report = process.report.getReport();
  const glibc =
    typeof report === "object" && "header" in report && JSON.stringify(report.header).includes("glibcVersionRuntime");
  const path = glibc ? system : musl;
  if (path !== undefined && existsSync(path)) return path;
  throw new TripodError(
    "failed-precondition",
    `install CNI plugins: koffi has no native library for ${platform} in ${folder}; run npm install`,
  );
}
