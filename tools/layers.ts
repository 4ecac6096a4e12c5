// Checks that packages import downwards only (docs/architecture.md), and that what they import they also declare.
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";

/** Lower numbers are lower layers; packages of one layer may import one another only where `within` allows it. */
const layers: readonly { readonly name: string; readonly dirs: readonly string[]; readonly within: boolean }[] = [
  {
    name: "ground",
    dirs: ["packages/base", "packages/trace", "packages/linux", "packages/grpc", "packages/ttrpc", "packages/api"],
    within: true,
  },
  {
    name: "interfaces",
    dirs: ["packages/cni", "packages/oci", "packages/csi", "packages/streaming", "packages/kube"],
    within: false,
  },
  { name: "plugins and drivers", dirs: ["plugins/*", "drivers/*"], within: false },
  { name: "plugin bundle", dirs: ["plugins/bundle"], within: false },
  {
    name: "parts",
    dirs: ["packages/cri", "packages/kubelet", "packages/apiserver", "packages/controllers", "packages/network"],
    within: false,
  },
  { name: "apps", dirs: ["apps/*"], within: false },
];

interface Workspace {
  readonly dir: string;
  readonly name: string;
  readonly layer: number;
  readonly dependencies: ReadonlySet<string>;
}

const sourceFiles = (dir: string): string[] =>
  readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => !path.includes("/node_modules/") && !path.includes("/dist/"));

function workspaces(top: string): Workspace[] {
  return layers
    .flatMap((layer, index) =>
      layer.dirs
        .flatMap((dir) =>
          dir.endsWith("/*")
            ? readdirSync(join(top, dir.slice(0, -2))).map((name) => `${dir.slice(0, -1)}${name}`)
            : [dir],
        )
        .flatMap((dir) => {
          let manifest: {
            name: string;
            dependencies?: Record<string, string>;
            devDependencies?: Record<string, string>;
          };
          try {
            manifest = JSON.parse(readFileSync(join(top, dir, "package.json"), "utf8"));
          } catch {
            return []; // a folder of a later issue
          }
          const dependencies = new Set(Object.keys({ ...manifest.dependencies, ...manifest.devDependencies }));
          return [{ dir, name: manifest.name, layer: index, dependencies }];
        }),
    )
    .filter(({ dir, layer }, _, all) => !all.some((other) => other.dir === dir && other.layer > layer));
}

/** The rule's breaches, a line each. Tests may import upwards only what stands in `test/`, so they follow the same rule. */
export function checkLayers(top: string): string[] {
  const all = workspaces(top);
  const byName = new Map(all.map((workspace) => [workspace.name, workspace]));
  const problems: string[] = [];
  for (const workspace of all) {
    for (const path of sourceFiles(join(top, workspace.dir))) {
      const isTest = path.endsWith(".test.ts") || path.includes("/testing/");
      const where = relative(top, path);
      for (const match of readFileSync(path, "utf8").matchAll(/(?:\bfrom|\bimport)\s*\(?\s*"([^"]+)"/g)) {
        const specifier = match[1] ?? "";
        if (specifier.startsWith("../") && !join(path, "..", specifier).startsWith(`${join(top, workspace.dir)}/`)) {
          problems.push(`${where}: imports ${specifier} outside its package; import the package by name`);
        }
        if (!specifier.startsWith("@tripod/")) continue;
        const name = specifier.split("/").slice(0, 2).join("/");
        const target = byName.get(name);
        if (!workspace.dependencies.has(name))
          problems.push(`${where}: imports ${name}, which package.json does not declare`);
        if (target === undefined || target === workspace || isTest) continue;
        const rule = layers[workspace.layer];
        const allowed = target.layer < workspace.layer || (target.layer === workspace.layer && rule?.within === true);
        if (!allowed)
          problems.push(
            `${where}: ${workspace.name} (${rule?.name}) may not import ${name} (${layers[target.layer]?.name})`,
          );
      }
    }
  }
  return problems;
}

if (import.meta.main) {
  const problems = checkLayers(process.cwd());
  for (const problem of problems) console.error(problem);
  process.exitCode = problems.length === 0 ? 0 : 1;
}
