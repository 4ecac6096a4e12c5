import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface ReadmeExamples {
  /** A folder inside node_modules, so that the packages are found by their names; the caller removes it. */
  readonly dir: string;
  readonly tsconfig: string;
  readonly count: number;
}

/** Writes each TypeScript example of the packages' READMEs into a file of its own, with a tsconfig.json that compiles them all. */
export function writeReadmeExamples(top: string): ReadmeExamples {
  const parent = join(top, "node_modules/.cache");
  mkdirSync(parent, { recursive: true });
  const dir = mkdtempSync(join(parent, "tripod-examples-"));
  const files = ["packages", "plugins", "drivers", "apps"].flatMap((layer) =>
    readdirSync(join(top, layer)).flatMap((name) => {
      const readme = join(top, layer, name, "README.md");
      if (!existsSync(readme)) return [];
      return [...readFileSync(readme, "utf8").matchAll(/^```ts\n(.*?)^```/gms)].map(([, code = ""], index) => {
        const file = `${layer}-${name}-${index + 1}.ts`;
        writeFileSync(join(dir, file), `${code}\nexport {};\n`);
        return file;
      });
    }),
  );
  const tsconfig = join(dir, "tsconfig.json");
  writeFileSync(tsconfig, JSON.stringify({ extends: join(top, "tsconfig.json"), include: [], exclude: [], files }));
  return { dir, tsconfig, count: files.length };
}
