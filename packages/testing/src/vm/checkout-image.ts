import { cp, mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runCommand } from "@tripod/base";
import { makeExt4 } from "./make-ext4.ts";

/** Of the checkout; what tests need, without what people read. */
const folders = ["packages", "plugins", "drivers", "apps", "test", "tools"];
const files = ["package.json", "tsconfig.json"];

/** npm packages that no test runs. */
const left = /^(?:\.bin|@biomejs|oxlint.*|@oxlint.*|typescript|@typescript|esbuild|@esbuild|@types|undici-types)$/;

/** A disk image of this checkout with its npm packages and the pinned Node, and of `guest`, the script that the guest runs. */
export async function checkoutImage(
  image: string,
  from: { readonly top: string; readonly guest: string; readonly stage: string },
): Promise<void> {
  const { top, stage } = from;
  // Hard links: a copy would take longer than the image.
  const link = async (names: readonly string[], to: string): Promise<void> => {
    await mkdir(to, { recursive: true });
    await runCommand("cp", ["-al", ...names, to]);
  };
  try {
    await link(
      [...folders, ...files].map((name) => join(top, name)),
      stage,
    );
    const modules = (await readdir(join(top, "node_modules"))).filter(
      (name) => !left.test(name) && name !== "@bufbuild",
    );
    await link(
      modules.map((name) => join(top, "node_modules", name)),
      join(stage, "node_modules"),
    );
    // Of buf only what generated code imports.
    await link([join(top, "node_modules/@bufbuild/protobuf")], join(stage, "node_modules/@bufbuild"));
    await writeFile(join(stage, "guest.sh"), from.guest);
    await cp(join(import.meta.dirname, "line-reporter.ts"), join(stage, "line-reporter.ts"));
    await makeExt4(image, stage);
  } finally {
    await rm(stage, { recursive: true, force: true });
  }
}
