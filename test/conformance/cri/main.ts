// Runs the suite against a runtime: see README.md, or --help.
import { mkdtempSync, rmSync } from "node:fs";
import { parseArgs } from "node:util";
import { messageOf } from "@tripod/base";
import { startRegistry } from "@tripod/testing";
import { specs } from "./specs/index.ts";
import { pushImages } from "./suite/images.ts";
import { report } from "./suite/report.ts";
import { runSpecs } from "./suite/run-specs.ts";

const usage = `usage: main.ts --socket PATH [options]
  --socket PATH         the runtime's unix socket
  --registry HOST:PORT  a registry without TLS that the runtime reaches; one is started on 127.0.0.1 unless told
  --folder DIR          where logs and mounts go, on the runtime's machine; a temporary one unless told
  --handler NAME        the runtime handler of the sandboxes
  --only TEXT           just the specs whose topic or name contains TEXT
  --parallel N          how many run at the same time (4)
  --list                prints the specs and runs none
  --json                prints an array of outcomes instead of a table`;

const { values } = parseArgs({
  options: {
    socket: { type: "string" },
    registry: { type: "string" },
    folder: { type: "string" },
    handler: { type: "string" },
    only: { type: "string" },
    parallel: { type: "string" },
    list: { type: "boolean" },
    json: { type: "boolean" },
    help: { type: "boolean" },
  },
});

async function main(): Promise<number> {
  const { only = "" } = values;
  const wanted = specs.filter(({ topic, name }) => `${topic}: ${name}`.includes(only));
  if (values.list === true) {
    for (const { topic, name } of wanted) console.log(`${topic}: ${name}`);
    return 0;
  }
  if (values.help === true || values.socket === undefined || wanted.length === 0) {
    console.error(wanted.length === 0 ? `no spec has ${JSON.stringify(only)} in its name` : usage);
    return 2;
  }
  await using undo = new AsyncDisposableStack();
  const registry = values.registry ?? undo.use(await startRegistry()).host;
  await pushImages(registry);
  let folder = values.folder;
  if (folder === undefined) {
    const made = mkdtempSync("/tmp/cri-conformance-");
    undo.defer(() => rmSync(made, { recursive: true, force: true }));
    folder = made;
  }
  const socket = values.socket.replace(/^unix:(\/\/)?/, "");
  const target = { socket, registry, folder, ...(values.handler !== undefined && { handler: values.handler }) };
  const outcomes = await runSpecs(target, wanted, { parallel: Number(values.parallel ?? 4) });
  console.log(values.json === true ? JSON.stringify(outcomes, undefined, 2) : report([{ runtime: socket, outcomes }]));
  return outcomes.some(({ kind }) => kind === "failed") ? 1 : 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(messageOf(error));
  process.exitCode = 2;
}
