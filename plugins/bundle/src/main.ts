import { readFileSync } from "node:fs";
import { runPluginMain } from "@tripod/cni/sdk";
import { ownPlugins } from "./plugins.ts";

// The entry of the one bundle behind every installed executable.
void runPluginMain([...ownPlugins.values()], () => readFileSync(0, "utf8"));
