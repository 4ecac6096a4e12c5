import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from "node:fs";
import { join, relative } from "node:path";

const folders = ["packages", "plugins", "drivers", "apps"];

/** Links the workspaces that `node_modules` of the checkout at `top` does not know yet, as npm would: a pull needs no npm install. */
export function linkWorkspaces(top: string): void {
  for (const folder of folders) {
    for (const entry of readdirSync(join(top, folder), { withFileTypes: true })) {
      const manifest = join(top, folder, entry.name, "package.json");
      if (!entry.isDirectory() || !existsSync(manifest)) continue;
      const { name } = JSON.parse(readFileSync(manifest, "utf8")) as { name: string }; // npm demands a name
      const link = join(top, "node_modules", name);
      if (existsSync(link)) continue;
      mkdirSync(join(link, ".."), { recursive: true });
      symlinkSync(relative(join(link, ".."), join(top, folder, entry.name)), link);
    }
  }
}
