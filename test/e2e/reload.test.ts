import assert from "node:assert/strict";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { NamespaceMode, RuntimeService } from "@tripod/api/cri";
import { type Client, GrpcChannel } from "@tripod/grpc";
import { removeCgroup } from "@tripod/linux";
import { type CriProcess, startCriProcess, type TempRoot, tempRoot, until } from "@tripod/testing";

const owned = new AsyncDisposableStack();
let root: TempRoot;
let server: CriProcess;
let runtime: Client<typeof RuntimeService>;

before(async () => {
  root = owned.use(tempRoot());
  const { layout } = root;
  owned.defer(() => removeCgroup(layout.cgroupParent));
  mkdirSync(layout.etcDir, { recursive: true });
  const main = join(import.meta.dirname, "../../apps/tripod/src/main.ts");
  server = owned.use(
    await startCriProcess({
      command: [process.execPath, main, "cri", "--root", root.path, "--no-network"],
      socket: layout.criSocket,
      logFile: join(root.path, "output.log"),
    }),
  );
  runtime = owned.use(new GrpcChannel({ socket: layout.criSocket })).client(RuntimeService);
});
after(async () => {
  await owned[Symbol.asyncDispose]();
});

/** Replaces the file as an editor does, by a rename, or writes into it. */
function writeConfig(text: string, how: "rename" | "write"): void {
  const { configFile } = root.layout;
  const file = how === "rename" ? `${configFile}.new` : configFile;
  writeFileSync(file, text);
  if (how === "rename") renameSync(file, configFile);
}

const handlers = async (): Promise<string[]> => (await runtime.status({})).runtimeHandlers.map(({ name }) => name);
const state = async (): Promise<string> => (await runtime.status({ verbose: true })).info.config ?? "";
const log = (): string => readFileSync(join(root.layout.libDir, "log/cri.log"), "utf8");
const config = {
  metadata: { name: "pod", namespace: "test", uid: "u", attempt: 0 },
  linux: { securityContext: { namespaceOptions: { network: NamespaceMode.NODE } } },
};

test("a changed file is in force at once, a wrong one changes nothing and is told, and SIGHUP loads it too", async () => {
  await assert.rejects(runtime.runPodSandbox({ config, runtimeHandler: "second" }), { code: "invalid" });
  const two = "cri:\n  handlers:\n    second: { program: runc }\n";
  writeConfig(two, "rename");
  await until("the second handler", async () => (await handlers()).includes("second"));
  const { podSandboxId } = await runtime.runPodSandbox({ config, runtimeHandler: "second" });

  writeConfig(`logLevel: debug\n${two}  nonsense: 1\n`, "write");
  await until("the refusal", async () => (await state()).includes("nonsense"));
  assert.match(await state(), /"refused":"[^"]*cri\.nonsense: there is no such setting/);
  assert.match(log(), /"problem":"[^"]*there is no such setting[^"]*","msg":"configuration: refused/);
  writeConfig("cri: { defaultHandler: third }\n", "rename");
  await until("the second refusal", async () => (await state()).includes("default handler third"));
  assert.ok((await handlers()).includes("second"));

  writeConfig("logLevel: debug\nnodeName: other\n", "rename");
  await until("no second handler", async () => !(await handlers()).includes("second"));
  assert.doesNotMatch(await state(), /"refused"/);
  await until("the log", () => /"needsRestart":\["nodeName"\].*configuration: loaded anew/.test(log()));
  // What a handler has made goes, whether or not it is still configured.
  await runtime.removePodSandbox({ podSandboxId });

  const loads = (): number => log().split("configuration: loaded anew").length;
  const before = loads();
  process.kill(server.pid, "SIGHUP");
  await until("the load by SIGHUP", () => loads() > before);
});
