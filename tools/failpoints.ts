import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";

const sources = "{packages,drivers,plugins,apps,test}/**/*.ts";
const isLeftOut = (path: string): boolean => /(^|\/)(node_modules|gen)(\/|$)/.test(path);
const isOfTests = (path: string): boolean => /\.test\.ts$|^test\/|\/testing\//.test(path);

/** A name as a pattern; what is only known when it runs, `${…}`, is any words. */
const patternOf = (name: string): string => name.replaceAll(".", "\\.").replace(/\$\{[^}]*\}/g, "[\\w.-]+");

/**
 * Failpoints at which no test has a process killed: the text of no test has the name, whole or made of a beginning as in `part.${step}` and an
 * end that is written in the same file. One line each, with the file that passes it.
 */
export function unarmedFailpoints(top: string): string[] {
  const files = globSync(sources, { cwd: top, exclude: isLeftOut }).map((path) => ({
    path,
    text: readFileSync(join(top, path), "utf8"),
  }));
  const tests = files.filter(({ path }) => isOfTests(path));
  const isArmed = (name: string): boolean =>
    tests.some(
      ({ text }) =>
        new RegExp(`["'\`]${patternOf(name)}["'\`@]`).test(text) ||
        [...text.matchAll(/`((?:[\w-]+\.)+)\$\{/g)].some(
          ([, beginning = ""]) =>
            name.startsWith(beginning) && new RegExp(`["']${patternOf(name.slice(beginning.length))}["'@]`).test(text),
        ),
    );
  return files
    .filter(({ path }) => !isOfTests(path))
    .flatMap(({ path, text }) =>
      [...text.matchAll(/\bfailpoint\(\s*["`]([^"`]+)["`]/g)].map(([, name = ""]) => ({ path, name })),
    )
    .filter(({ name }) => !isArmed(name))
    .map(({ path, name }) => `${path}: no test kills a process at ${name}`);
}
