// `npm run build [FOLDER]`: the package that users install, in FOLDER (dist/package unless told): every program bundled and minified, the
// CNI plugins built, and as dependencies only what holds machine code (koffi, Node). `npm pack FOLDER` makes the archive of it.
import { chmodSync, cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { TripodError } from "@tripod/base";
import { buildProgram, ownPlugins } from "@tripod/plugin-bundle";
import { build, type Plugin } from "esbuild";

const top = join(import.meta.dirname, "..");
/** Programs that are started as files of their own: the CLI, what runs on threads, and what outlives it. */
const programs = {
  main: "apps/tripod/src/main.ts",
  "unpack-worker": "packages/oci/src/unpack/unpack-worker.ts",
  "merge-worker": "packages/oci/src/snapshots/merge-worker.ts",
  "layer-server": "packages/oci/src/lazy/layer-server.ts",
  "share-job": "drivers/nfs/src/jobs/share-job.ts",
  "share-server": "drivers/nfs/src/client/share-server.ts",
};

/** A thread's program stands beside the chunk that starts it, under its new name. */
const threadPrograms: Plugin = {
  name: "thread programs",
  setup(builder) {
    builder.onLoad({ filter: /\/(packages|apps|drivers|plugins)\/.*\.ts$/ }, ({ path }) => {
      const source = readFileSync(path, "utf8");
      const contents = source.replace(/new URL\("\.\/([\w-]+)\.ts", import\.meta\.url\)/g, (_, name: string) => {
        if (!(name in programs)) throw new TripodError("internal", `${path} starts ${name}.ts: add it to programs`);
        return `new URL("./${name}.mjs", import.meta.url)`;
      });
      return { contents, loader: "ts" };
    });
  },
};

interface PackageFile {
  readonly version: string;
  readonly license: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const packageFile = (path: string): PackageFile =>
  JSON.parse(readFileSync(join(top, path, "package.json"), "utf8")) as PackageFile; // ours, and npm has read it

/** Builds the package in the folder `target`, which is emptied first. There it runs with the checkout's own modules, packed with its own. */
export async function buildPackage(target: string): Promise<void> {
  rmSync(target, { recursive: true, force: true });
  mkdirSync(target, { recursive: true });
  await build({
    entryPoints: programs,
    absWorkingDir: top,
    outdir: target,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    splitting: true,
    platform: "node",
    format: "esm",
    target: "node26",
    minify: true,
    // Errors and spans show names of classes and functions.
    keepNames: true,
    legalComments: "none",
    logLevel: "warning",
    external: ["koffi", "esbuild"],
    // What was written as CommonJS asks for Node's own modules by require().
    banner: {
      js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);',
    },
    plugins: [threadPrograms],
  });
  writeFileSync(join(target, "tripod-cni.cjs"), await buildProgram());
  for (const file of ["README.md", "LICENSE", "CHANGELOG.md"]) cpSync(join(top, file), join(target, file));
  // What tripod cni explain reads.
  for (const name of ownPlugins.keys())
    cpSync(join(top, "plugins", name, "README.md"), join(target, "plugins", name, "README.md"));
  cpSync(join(top, "examples/quickstart"), join(target, "examples/quickstart"), { recursive: true });
  cpSync(join(top, "tools/release/tripod"), join(target, "tripod"));
  chmodSync(join(target, "tripod"), 0o755);
  const workspace = packageFile(".");
  const app = packageFile("apps/tripod");
  writeFileSync(
    join(target, "package.json"),
    `${JSON.stringify(
      {
        name: "tripod",
        version: app.version,
        description: "A complete Kubernetes node: CNI, CRI and CSI as the real wire protocols",
        license: app.license,
        type: "module",
        bin: { tripod: "tripod" },
        os: ["linux"],
        cpu: ["x64", "arm64"],
        dependencies: { koffi: packageFile("packages/linux").dependencies?.koffi },
        optionalDependencies: workspace.optionalDependencies,
      },
      undefined,
      2,
    )}\n`,
  );
  symlinkSync(join(top, "node_modules"), join(target, "node_modules"));
}

if (import.meta.main) {
  const target = resolve(process.argv[2] ?? join(top, "dist/package"));
  await buildPackage(target);
  console.log(`built ${target}; to install it elsewhere: npm pack ${target}`);
}
