import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import {
  create,
  type DescField,
  type DescMessage,
  type DescMethod,
  type Message,
  ScalarType,
  toBinary,
} from "@bufbuild/protobuf";
import { Client as RawClient, credentials, type ServiceError, status } from "@grpc/grpc-js";
import {
  ContainerConfigSchema,
  CreateContainerRequestSchema,
  ImageService,
  NamespaceMode,
  PodSandboxConfigSchema,
  RunPodSandboxRequestSchema,
  RuntimeService,
} from "@tripod/api/cri";
import { type Client, GrpcChannel } from "@tripod/grpc";
import { removeCgroup } from "@tripod/linux";
import {
  type CriProcess,
  pushBusybox,
  randomMessage,
  type SeededRandom,
  seededRandom,
  startCriProcess,
  startRegistry,
  type TempRoot,
  tempRoot,
  until,
} from "@tripod/testing";

// TRIPOD_FUZZ_SEED=N repeats a run, TRIPOD_FUZZ_CALLS=N makes it longer.
/** The same each time unless told: what another seed finds becomes a test of its own. */
const seed = Number(process.env.TRIPOD_FUZZ_SEED ?? 20_261_126);
const calls = Number(process.env.TRIPOD_FUZZ_CALLS ?? 640);

const owned = new AsyncDisposableStack();
const random = seededRandom(seed);
let root: TempRoot;
let server: CriProcess;
let runtime: Client<typeof RuntimeService>;
let raw: RawClient;
let image: string;

before(async () => {
  root = owned.use(tempRoot());
  const { layout } = root;
  owned.defer(() => removeCgroup(layout.cgroupParent));
  image = await pushBusybox(owned.use(await startRegistry()));
  mkdirSync(layout.etcDir, { recursive: true });
  server = owned.use(
    await startCriProcess({
      command: [
        process.execPath,
        join(import.meta.dirname, "../../apps/tripod/src/main.ts"),
        "cri",
        "--root",
        root.path,
        "--no-network",
      ],
      socket: layout.criSocket,
      logFile: join(root.path, "output.log"),
    }),
  );
  runtime = owned.use(new GrpcChannel({ socket: layout.criSocket })).client(RuntimeService);
  raw = new RawClient(`unix:${layout.criSocket}`, credentials.createInsecure(), {
    "grpc.default_authority": "localhost",
    "grpc.max_send_message_length": -1,
    "grpc.use_local_subchannel_pool": 1,
  });
  owned.defer(() => raw.close());
});
after(async () => {
  await owned[Symbol.asyncDispose]();
});

/** A sandbox and a container that run, so that requests can get beyond the first look-up. */
const target = { sandboxId: "", containerId: "" };
const sandboxConfig = {
  metadata: { name: "target", namespace: "fuzz", uid: "u", attempt: 0 },
  linux: { securityContext: { namespaceOptions: { network: NamespaceMode.NODE } } },
};
const containerConfig = () => ({
  metadata: { name: "target", attempt: 0 },
  image: { image },
  command: ["sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait"],
});

async function makeTarget(): Promise<void> {
  for (const { id } of (await runtime.listPodSandbox({})).items)
    if (id !== target.sandboxId) await runtime.removePodSandbox({ podSandboxId: id });
  if ((await runtime.listContainers({ filter: { id: target.containerId, state: { state: 1 } } })).containers.length > 0)
    return;
  if (target.sandboxId !== "") await runtime.removePodSandbox({ podSandboxId: target.sandboxId });
  using channel = new GrpcChannel({ socket: server.socket });
  await channel.client(ImageService).pullImage({ image: { image } });
  target.sandboxId = (await runtime.runPodSandbox({ config: sandboxConfig })).podSandboxId;
  const made = await runtime.createContainer({
    podSandboxId: target.sandboxId,
    config: containerConfig(),
    sandboxConfig,
  });
  target.containerId = made.containerId;
  await runtime.startContainer(made.containerId === "" ? {} : { containerId: made.containerId });
}

/** What would reach out of the test when it happened to be accepted is kept to what is refused, or lies below the root. */
const confined: Readonly<Record<string, (random: SeededRandom) => unknown>> = {
  podSandboxId: (pick) =>
    pick.pick(["", "../x", target.sandboxId, target.sandboxId.slice(0, 7), "f".repeat(64), "a\0b"]),
  containerId: (pick) =>
    pick.pick(["", "../x", target.containerId, target.containerId.slice(0, 7), "f".repeat(64), "a\0b"]),
  image: (pick) => pick.pick(["", image, "127.0.0.1:1/none:x", "../x", "A B", "sha256:", `${image}@sha256:00`]),
  cgroupParent: (pick) => pick.pick(["", "../x", "x", "/../x", "a\0b", "/tripod-x/../.."]),
  logDirectory: (pick) => pick.pick(["", "../x", join(root.path, "logs"), "a\0b"]),
  hostPath: (pick) => pick.pick(["", "../x", join(root.path, "host"), "/dev/null", "a\0b"]),
  location: (pick) => pick.pick(["", "../x", join(root.path, "checkpoint"), "a\0b"]),
};

const choose = (field: DescField, pick: SeededRandom): unknown =>
  field.scalar === ScalarType.STRING && field.fieldKind === "scalar" ? confined[field.localName]?.(pick) : undefined;

interface Answer {
  readonly code: status;
  readonly details: string;
}

/** Sends bytes as the method's request; its answer, for a stream the first one. */
function send(path: string, { streams, bytes }: { streams: boolean; bytes: Uint8Array }): Promise<Answer> {
  const deadline = { deadline: Date.now() + 60_000 };
  const asIs = (value: Uint8Array): Buffer => Buffer.from(value);
  return new Promise((resolve) => {
    const ended = (error: ServiceError | null): void =>
      resolve({ code: error?.code ?? status.OK, details: error?.details ?? "" });
    if (!streams) {
      raw.makeUnaryRequest(path, asIs, asIs, bytes, deadline, ended);
      return;
    }
    const call = raw.makeServerStreamRequest(path, asIs, asIs, bytes, deadline);
    call.on("error", (error) => ended(error as ServiceError)); // grpc-js emits nothing else
    call.on("end", () => ended(null));
    call.on("data", () => {});
    // Events never end by themselves.
    if (path.endsWith("GetContainerEvents")) setTimeout(() => call.cancel(), random.below(20));
  });
}

let serial = 0;

/** A request that would be granted but for one field of its configuration. */
function almostGranted(method: DescMethod): Message | undefined {
  serial += 1;
  const spoil = <T extends object>(desc: DescMessage, config: T): T => {
    const hostile = Object.entries(randomMessage(desc, { random, choose })).filter(([key]) => !key.startsWith("$"));
    if (hostile.length === 0) return config;
    const [key, value] = random.pick(hostile);
    return { ...config, [key]: value };
  };
  const metadata = { name: `f${serial}`, namespace: "fuzz", uid: "u", attempt: 0 };
  if (method.name === "RunPodSandbox") {
    return create(RunPodSandboxRequestSchema, {
      config: spoil(PodSandboxConfigSchema, { ...sandboxConfig, metadata }),
    });
  }
  if (method.name !== "CreateContainer") return undefined;
  const config = spoil(ContainerConfigSchema, { ...containerConfig(), metadata: { name: `f${serial}`, attempt: 0 } });
  return create(CreateContainerRequestSchema, { podSandboxId: target.sandboxId, config, sandboxConfig });
}

/** The bytes of a request: a hostile message, or one that is broken on its way. */
function requestBytes(method: DescMethod): Uint8Array {
  const granted = random.next() < 0.7 ? almostGranted(method) : undefined;
  if (granted !== undefined) return toBinary(method.input, granted);
  const whole = Buffer.from(toBinary(method.input, randomMessage(method.input, { random, choose })));
  switch (random.below(8)) {
    case 0:
      return whole.subarray(0, random.below(whole.length + 1));
    case 1:
      return Buffer.from(Array.from({ length: random.below(200) }, () => random.below(256)));
    case 2: {
      if (whole.length > 0) whole[random.below(whole.length)] = random.below(256);
      // A changed byte may make another path of a harmless one, so it is only looked at.
      return /Run|Create|Pull|Checkpoint/.test(method.name) ? whole.subarray(0, whole.length >> 1) : whole;
    }
    case 3: // a field that no message has
      return Buffer.concat([whole, Buffer.from([0xfa, 0xff, 0x3f, 3, 1, 2, 3])]);
    default:
      return whole;
  }
}

/** Texts that only a mistake of ours makes. */
const mistakes = /is not a function|Cannot read|Cannot convert|undefined|must be of type|ERR_|is not iterable|BigInt/;
const memory = (): number =>
  Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${server.pid}/status`, "utf8"))?.[1]) / 1024;
const descriptors = (): number => readdirSync(`/proc/${server.pid}/fd`).length;
const serves = async (): Promise<void> => {
  assert.equal((await runtime.version({}, { timeoutMs: 30_000 })).runtimeName, "tripod", `seed ${seed}`);
};

test("every RPC answers hostile messages with a status, and the server lives", { timeout: 240_000 }, async (t) => {
  t.diagnostic(`TRIPOD_FUZZ_SEED=${seed}`);
  const methods = [RuntimeService, ImageService].flatMap((service) =>
    service.methods.map((method): [string, DescMethod] => [`/${service.typeName}/${method.name}`, method]),
  );
  // Where a request has most to say.
  const wordy = methods.filter(([path]) => /RunPodSandbox|CreateContainer/.test(path));
  methods.push(...wordy, ...wordy, ...wordy);
  const counts = new Map<string, number>();
  await makeTarget();
  const descriptorsBefore = descriptors();
  for (let done = 0; done < calls; done += 16) {
    if (done % 160 === 0) await makeTarget();
    const answers = Array.from({ length: 16 }, async (_, index) => {
      const [path, method] = methods[(done + index) % methods.length] ?? assert.fail("there are methods");
      const bytes = requestBytes(method);
      const { code, details } = await send(path, { streams: method.methodKind === "server_streaming", bytes });
      const name = status[code] ?? String(code);
      counts.set(name, (counts.get(name) ?? 0) + 1);
      const request = `seed ${seed}: ${path} ${Buffer.from(bytes).toString("hex").slice(0, 2000)}`;
      // The one registry of the references that nobody serves, and the network that this server has not.
      const unserved =
        code === status.UNAVAILABLE && /127\.0\.0\.1:1\/|^network is not ready: no network configuration/.test(details);
      assert.ok(code !== status.UNKNOWN && (code !== status.UNAVAILABLE || unserved), `${name} ${details}; ${request}`);
      assert.ok(code !== status.DEADLINE_EXCEEDED, `no answer in time; ${request}`);
      assert.ok(code !== status.INTERNAL || !mistakes.test(details), `${details}; ${request}`);
    });
    await Promise.all(answers);
  }
  t.diagnostic(`answers: ${JSON.stringify(Object.fromEntries(counts))}; memory at most ${memory().toFixed(0)} MiB`);
  await serves();
  assert.ok(memory() < 600, `${memory()} MiB`);
  await makeTarget();
  await until("descriptors to be given back", () => descriptors() <= descriptorsBefore + 20);
});

test("messages of 16 MiB, over it, and a thousand levels deep are answered in bounded memory", async (t) => {
  const path = "/runtime.v1.RuntimeService/Version";
  const text = (length: number): Buffer => {
    const prefix = [0x0a];
    for (let rest = length; ; rest >>>= 7) {
      prefix.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
      if (rest <= 0x7f) break;
    }
    return Buffer.concat([Buffer.from(prefix), Buffer.alloc(length, 0x61)]);
  };
  for (let round = 0; round < 4; round += 1) {
    assert.equal((await send(path, { streams: false, bytes: text(16 * 1024 * 1024 - 16) })).code, status.OK);
    const over = await send(path, { streams: false, bytes: text(17 * 1024 * 1024) });
    assert.equal(over.code, status.RESOURCE_EXHAUSTED);
    const id = await send("/runtime.v1.RuntimeService/StopPodSandbox", {
      streams: false,
      bytes: text(8 * 1024 * 1024),
    });
    assert.equal(id.code, status.OK, "a sandbox that there is not has been stopped");
    const absent = await send("/runtime.v1.RuntimeService/ContainerStatus", {
      streams: false,
      bytes: text(8 * 1024 * 1024),
    });
    assert.equal(absent.code, status.NOT_FOUND);
    assert.ok(absent.details.length < 10_000, `the error repeats ${absent.details.length} characters of the id`);
  }
  let deep = Buffer.alloc(0);
  for (let level = 0; level < 1000; level += 1) deep = Buffer.concat([Buffer.from([0x0b]), deep, Buffer.from([0x0c])]);
  const { code } = await send(path, { streams: false, bytes: deep });
  assert.ok(code === status.OK || code === status.INTERNAL || code === status.INVALID_ARGUMENT, status[code]);
  t.diagnostic(`memory at most ${memory().toFixed(0)} MiB`);
  assert.ok(memory() < 600, `${memory()} MiB`);
  await serves();
});

/** Opens a connection and writes bytes to it; it stays open. */
async function stalled(bytes: Uint8Array): Promise<Socket> {
  const peer = connect(server.socket);
  peer.on("error", () => {}); // the server may hang up on it
  await once(peer, "connect");
  peer.write(bytes);
  return peer;
}

test("connections that stall, speak nonsense or open too many streams hold up nobody, and are given back", async () => {
  const before = descriptors();
  const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  const settings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
  const peers: Socket[] = [];
  for (let index = 0; index < 40; index += 1) {
    const garbage = Buffer.from(Array.from({ length: random.below(100) }, () => random.below(256)));
    // A header block that is announced and does not come, a frame of more than the largest size.
    const announced = Buffer.from([0, 0, 200, 1, 4, 0, 0, 0, 1, 0x82]);
    const huge = Buffer.from([0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1]);
    for (const bytes of [
      Buffer.alloc(0),
      garbage,
      Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
      preface.subarray(0, random.below(preface.length)),
      Buffer.concat([preface, settings, announced]),
      Buffer.concat([preface, settings, huge]),
      Buffer.concat([preface, settings, garbage]),
    ]) {
      peers.push(await stalled(bytes));
    }
  }
  await serves();
  const session: ClientHttp2Session = connectHttp2("http://localhost", {
    createConnection: () => connect(server.socket),
  });
  session.on("error", () => {});
  const headers = {
    ":method": "POST",
    ":path": "/runtime.v1.RuntimeService/GetContainerEvents",
    "content-type": "application/grpc",
    te: "trailers",
  };
  for (let index = 0; index < 3000; index += 1) {
    const stream = session.request(headers);
    stream.on("error", () => {}); // refused, or ended with the session
    stream.resume();
    stream.end(Buffer.from([0, 0, 0, 0, 0]));
  }
  for (const authority of ["run%2Ftripod.sock", "", "[::1", "a b", "a".repeat(10_000), "\u00ff"]) {
    const stream = session.request({
      ...headers,
      ":path": "/runtime.v1.RuntimeService/Version",
      ":authority": authority,
    });
    stream.on("error", () => {});
    stream.end();
  }
  await serves();
  session.destroy();
  for (const peer of peers) peer.destroy();
  await until("descriptors to be given back", () => descriptors() <= before + 10);
  await serves();
  assert.ok(memory() < 600, `${memory()} MiB`);
});

test("nothing that was made is left", async () => {
  for (const { id } of (await runtime.listPodSandbox({})).items) await runtime.removePodSandbox({ podSandboxId: id });
  const { layout } = root;
  for (const folder of [layout.sandboxesDir, layout.containersDir, join(layout.runDir, "exits")])
    assert.deepEqual(readdirSync(folder), [], `seed ${seed}: ${folder}`);
});
