import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { get } from "node:http";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import { messageOf, runCommand } from "@tripod/base";
import { isolateNetwork, removeCgroup } from "@tripod/linux";
import {
  debianProgram,
  debianPrograms,
  type CriProcess,
  goProgram,
  goPrograms,
  interop,
  pushBusybox,
  startCriProcess,
  startRegistry,
  type TestRegistry,
  tempRoot,
} from "@tripod/testing";

const stack = new AsyncDisposableStack();
let cri: CriProcess;
let image: string;
let registry: TestRegistry;
let dir: string;

const criu = debianProgram(debianPrograms.criu);
before(async () => {
  isolateNetwork();
  const root = stack.use(tempRoot());
  stack.defer(() => removeCgroup(root.layout.cgroupParent));
  dir = root.path;
  registry = stack.use(await startRegistry());
  image = await pushBusybox(registry);
  if ("path" in criu) {
    mkdirSync(root.layout.etcDir, { recursive: true });
    writeFileSync(root.layout.configFile, JSON.stringify({ cri: { criu: criu.path } })); // JSON is YAML, too
  }
  cri = stack.use(
    await startCriProcess({
      command: [join(import.meta.dirname, "../../tripod"), "cri", "--root", dir],
      socket: root.layout.criSocket,
      logFile: join(dir, "daemon.log"),
    }),
  );
});
after(() => stack.disposeAsync());

interface Image {
  readonly id: string;
  readonly repoTags: readonly string[];
  readonly repoDigests: readonly string[];
}

interface Listed {
  readonly id: string;
  readonly state: string;
  readonly podSandboxId: string;
}

interface ContainerState {
  readonly state: string;
  readonly exitCode: number;
  readonly logPath: string;
  readonly resources: { readonly linux: { readonly memoryLimitInBytes: string; readonly cpuShares: string } };
}

/** 64-bit numbers are strings in protobuf's JSON. */
interface Value {
  readonly value: string;
}

for (const program of [goPrograms.crictl, goPrograms.oldCrictl]) {
  const built = goProgram(program);
  const path = "path" in built ? built.path : "";
  const cell = { interface: "CRI", caller: `crictl ${program.version.slice(1)}`, callee: "tripod cri" };

  describe(interop(cell), { skip: "skip" in built && built.skip }, () => {
    const settings = (): string => join(dir, `crictl-${program.version}.yaml`);
    before(() => writeFileSync(settings(), `runtime-endpoint: unix://${cri.socket}\ntimeout: 20\n`));
    const argsFor = (args: readonly string[]): string[] => ["--config", settings(), ...args];
    const crictl = async (...args: string[]): Promise<string> =>
      (await runCommand(path, argsFor(args), { timeoutMs: 60_000 })).stdout.toString();
    // The shape is the other program's; what a test reads of it, it checks.
    const json = async <T>(...args: string[]): Promise<T> => JSON.parse(await crictl(...args)) as T;
    const inspect = (id: string) =>
      json<{ readonly status: ContainerState; readonly info: { readonly pid: number } }>("inspect", id);
    const containersOf = async (...args: string[]): Promise<readonly Listed[]> =>
      (await json<{ readonly containers: readonly Listed[] }>("ps", "-o", "json", ...args)).containers;
    const podsOf = async (...args: string[]): Promise<readonly Listed[]> =>
      (await json<{ readonly items: readonly Listed[] }>("pods", "-o", "json", ...args)).items;
    const images = async (): Promise<readonly Image[]> =>
      (await json<{ readonly images: readonly Image[] }>("images", "-o", "json")).images;
    const start = (...args: string[]): ChildProcess => spawn(path, argsFor(args), { stdio: ["pipe", "pipe", "pipe"] });
    const refused = async (why: RegExp, ...args: string[]): Promise<void> => {
      const { exitCode, stderr } = await runCommand(path, argsFor(args), { okExitCodes: "any", timeoutMs: 60_000 });
      assert.notEqual(exitCode, 0);
      assert.match(stderr.toString(), why);
    };
    /** Writes a configuration file of crictl's and says where. */
    const file = (name: string, content: object): string => {
      const at = join(dir, name);
      writeFileSync(at, JSON.stringify(content));
      return at;
    };
    const podFile = (name: string): string =>
      file(`${name}.json`, {
        metadata: { name, namespace: "default", uid: `uid-${name}-${program.version}`, attempt: 1 },
        hostname: name,
        log_directory: join(dir, "logs", name),
        labels: { app: name },
        linux: { cgroup_parent: "" },
      });
    const containerFile = (name: string, script: string, more: object = {}): string =>
      file(`c-${name}.json`, {
        metadata: { name, attempt: 1 },
        image: { image },
        command: ["sh", "-c", script],
        log_path: `${name}.log`,
        labels: { part: name },
        ...more,
      });
    const ended = async (id: string): Promise<ContainerState> => {
      for (;;) {
        const { status } = await inspect(id);
        if (status.state === "CONTAINER_EXITED") return status;
      }
    };

    let pod: string;
    let container: string;
    const config = (): [string, string] => [
      containerFile("main", "echo one; echo two >&2; echo three; while [ ! -e /stop ]; do sleep 0.1; done; exit 7"),
      podFile("web"),
    ];

    test("version, info and runtime-config tell what serves", async () => {
      assert.match(await crictl("version"), /RuntimeName: +tripod\n.*\nRuntimeApiVersion: +v1/);
      const { status } = await json<{
        readonly status: { readonly conditions: readonly { readonly type: string; readonly status: boolean }[] };
      }>("info");
      const met = status.conditions.filter((condition) => condition.status).map(({ type }) => type);
      assert.deepEqual(met, ["RuntimeReady", "NetworkReady"]);
      assert.match(await crictl("runtime-config"), /cgroupDriver|cgroup_driver|CGROUPFS/i);
      await crictl("update-runtime-config", "--pod-cidr", "10.99.0.0/24");
    });

    test("pull, images, inspecti and imagefsinfo agree about an image", async () => {
      assert.match(await crictl("pull", image), /Image is up to date for sha256:[0-9a-f]{64}/);
      const found = (await images()).find((each) => each.repoTags.includes(image));
      assert.match(found?.id ?? "", /^sha256:/);
      const { status } = await json<{ readonly status: Image }>("inspecti", image);
      assert.equal(status.id, found?.id);
      assert.equal(status.repoTags[0], image);
      assert.equal(status.repoDigests.length, 1);
      assert.match(await crictl("images", "-q"), new RegExp(status.id));
      const info = await json<{
        readonly status: { readonly imageFilesystems: readonly { readonly usedBytes: Value }[] };
      }>("imagefsinfo");
      assert.ok(Number(info.status.imageFilesystems[0]?.usedBytes.value) > 500_000);
      await refused(/not found|no such image/i, "inspecti", `${registry.host}/absent:1`);
    });

    test("pull needs, and takes, the credentials that a registry wants", async () => {
      const users = join(dir, "users");
      // bcrypt of "open sesame"
      writeFileSync(users, "ali:$2b$04$Dzof442o3nLApsbkkEQIius0T38rVYuyxGKhrmaHJ9i1rlUHt0ieC\n");
      const auth = `auth: { htpasswd: { realm: test, path: ${JSON.stringify(users)} } }`;
      await using closed = await startRegistry({ dir: registry.dir, config: auth });
      const name = `${closed.host}/busybox:1`;
      await refused(/401|unauthorized|unauthenticated|denied/i, "pull", name);
      await refused(/401|unauthorized|unauthenticated|denied/i, "pull", "--creds", "ali:wrong", name);
      await crictl("pull", "--creds", "ali:open sesame", name);
      await crictl("rmi", name);
      await crictl("pull", "--auth", Buffer.from("ali:open sesame").toString("base64"), name);
      await crictl("rmi", name); // it takes along every other name of that image, as CRI has it
      assert.deepEqual(await images(), []);
      await crictl("pull", image);
    });

    test("runp, create and start bring up a Pod that pods, ps, inspectp and inspect describe", async () => {
      const [containerConfig, podConfig] = config();
      pod = (await crictl("runp", podConfig)).trim();
      container = (await crictl("create", pod, containerConfig, podConfig)).trim();
      const [created] = await containersOf("-a", "--id", container);
      assert.equal(created?.state, "CONTAINER_CREATED");
      assert.equal((await crictl("start", container)).trim(), container);
      const ready = await podsOf("--name", "web", "--state", "Ready", "--label", "app=web");
      assert.deepEqual(
        ready.map(({ id, state }) => [id, state]),
        [[pod, "SANDBOX_READY"]],
      );
      assert.match(await crictl("pods"), /Ready +web +default +1/);
      assert.match(await crictl("ps"), /Running +main +1/);
      const [found] = await containersOf("--pod", pod.slice(0, 12), "--label", "part=main");
      assert.equal(found?.id, container);
      assert.equal(found.podSandboxId, pod);
      const sandbox = await json<{
        readonly status: { readonly metadata: { readonly name: string }; readonly network: { readonly ip: string } };
      }>("inspectp", pod);
      assert.equal(sandbox.status.metadata.name, "web");
      assert.match(sandbox.status.network.ip, /^\d+\.\d+\.\d+\.\d+$/);
      const seen = await inspect(container.slice(0, 13));
      assert.equal(seen.status.state, "CONTAINER_RUNNING");
      assert.equal(seen.status.logPath, join(dir, "logs/web/main.log"));
      assert.ok(seen.info.pid > 1, JSON.stringify(seen.info));
      assert.equal(
        await crictl("inspect", "-o", "go-template", "--template", "{{.status.metadata.name}}", container),
        "main\n",
      );
    });

    test("run makes Pod and container in one step", async () => {
      const [containerConfig, podConfig] = [containerFile("quick", "exit 3"), podFile("quick")];
      const id = (await crictl("run", containerConfig, podConfig)).trim();
      const status = await ended(id);
      assert.equal(status.exitCode, 3);
      const [listed] = await containersOf("-a", "--id", id);
      await crictl("rmp", "-f", listed?.podSandboxId ?? "");
    });

    test("exec: asynchronous and synchronous, over SPDY and WebSocket, with input, exit code and a terminal", async () => {
      assert.equal(await crictl("exec", container, "echo", "hello"), "hello\n");
      assert.equal(await crictl("exec", "-s", container, "hostname"), "web\n\n\n"); // each stream, then a line's end
      await refused(
        /exit code 4|exit(ed|code|ed with)?:? (status )?4|code 4/i,
        "exec",
        container,
        "sh",
        "-c",
        "exit 4",
      );
      await refused(/exit code 5|exit(ed|code)?:? (status )?5|code 5/i, "exec", "-s", container, "sh", "-c", "exit 5");
      await refused(/executable file not found in \$PATH/, "exec", container, "nosuch");
      await refused(/deadline|timeout|timed out|killed/i, "exec", "-s", "--timeout", "1", container, "sleep", "99");
      for (const transport of ["spdy", "websocket"]) {
        const cat = start("exec", "-i", "-r", transport, container, "cat");
        cat.stdin?.end("through and back\n");
        assert.equal(await text(cat.stdout ?? process.stdin), "through and back\n", transport);
        // `script` is the terminal that crictl insists on.
        const command = [path, ...argsFor(["exec", "-it", "-r", transport, container, "sh", "-c", "stty size; tty"])]
          .map((word) => `'${word}'`)
          .join(" ");
        const { stdout } = await runCommand("script", ["-qec", `stty rows 33 cols 111; ${command}`, "/dev/null"], {
          input: "",
        });
        assert.match(stdout.toString(), /\/dev\/pts\/\d/, transport);
      }
    });

    test("attach joins a container's own streams", async () => {
      const script = "while read line; do echo got $line; done; echo bye";
      const config = containerFile("talk", script, { stdin: true, stdin_once: true });
      const id = (await crictl("create", pod, config, podFile("web"))).trim();
      await crictl("start", id);
      const attached = start("attach", "-i", id);
      attached.stdin?.end("word\n");
      assert.match(await text(attached.stdout ?? process.stdin), /got word\nbye\n/);
      await ended(id);
      await crictl("rm", id);
    });

    test("port-forward reaches a server in the Pod", async () => {
      const config = containerFile("httpd", "echo page >/www/index.html; exec httpd -f -p 127.0.0.1:8080 -h /www");
      const id = (await crictl("create", pod, config, podFile("web"))).trim();
      await crictl("start", id);
      const cmd = ["exec", "-s", id, "sh", "-c", "until netstat -ltn | grep -q :8080; do sleep 0.05; done"];
      await crictl(...cmd);
      for (const transport of ["spdy", "websocket"]) {
        const forward = start("port-forward", "-r", transport, pod, ":8080");
        try {
          const lines = createInterface({ input: forward.stdout ?? process.stdin })[Symbol.asyncIterator]();
          const first = await lines.next();
          const port = /127\.0\.0\.1:(\d+) -> 8080/.exec(String(first.value))?.[1];
          const page = await new Promise<string>((resolve, reject) => {
            get(`http://127.0.0.1:${port}/`, (response) => resolve(text(response))).on("error", reject);
          });
          assert.equal(page, "page\n", transport);
        } finally {
          forward.kill("SIGTERM");
          if (forward.exitCode === null && forward.signalCode === null) await once(forward, "exit");
        }
      }
      await crictl("rm", "-f", id);
    });

    test("logs: whole, the end of it, since a time, of the instance before, and followed", async () => {
      assert.equal(await crictl("logs", "-s", "stdout", container), "one\nthree\n");
      const tail = await runCommand(path, argsFor(["logs", "--tail", "2", container]));
      assert.equal(
        `${tail.stdout.toString()}${tail.stderr.toString()}`.split("\n").length,
        3,
        "two lines, of whichever streams",
      );
      assert.match(await crictl("logs", "-t", container), /^\d{4}-\d\d-\d\dT\S+ one\n\S+ three\n$/);
      assert.equal(await crictl("logs", "--since", "1h", "-s", "stdout", container), "one\nthree\n");
      assert.equal(await crictl("logs", "--since", "2100-01-01T00:00:00", container), "");
      await crictl("logs", "-r", container); // asks for the log to be reopened
      const follow = start("logs", "-f", container);
      const followed = text(follow.stdout ?? process.stdin);
      await crictl("exec", container, "touch", "/stop");
      assert.match(await followed, /one[^]*three/); // crictl ends with the container
      assert.equal((await ended(container)).exitCode, 7);
    });

    test("events are told while they happen", async () => {
      const events = start("events", "-o", "json");
      try {
        const seen: string[] = [];
        const told = (): boolean =>
          ["CREATED", "STARTED", "STOPPED", "DELETED"].every((kind) =>
            seen.join("").includes(`CONTAINER_${kind}_EVENT`),
          );
        const heard = (async () => {
          for await (const chunk of events.stdout ?? []) {
            seen.push(String(chunk));
            if (told()) return;
          }
        })();
        // What happens before it listens is not told: it goes on happening until something was.
        for (let round = 0; !told(); round += 1) {
          const id = (await crictl("create", pod, containerFile(`event${round}`, "exit 0"), podFile("web"))).trim();
          await crictl("start", id);
          await ended(id);
          await crictl("rm", id);
        }
        await heard;
        assert.match(seen.join(""), /"podSandboxStatus"/);
      } finally {
        events.kill("SIGTERM");
        if (events.exitCode === null && events.signalCode === null) await once(events, "exit");
      }
    });

    test("update changes limits; stats and statsp measure; metrics have names", async () => {
      const id = (
        await crictl("create", pod, containerFile("busy", "while :; do sleep 0.2; done"), podFile("web"))
      ).trim();
      await crictl("start", id);
      await crictl("update", "--memory", "67108864", "--cpu-share", "512", id);
      const { status } = await inspect(id);
      assert.equal(Number(status.resources.linux.memoryLimitInBytes), 67_108_864);
      assert.equal(Number(status.resources.linux.cpuShares), 512);
      const { stats } = await json<{
        readonly stats: readonly {
          readonly memory: { readonly workingSetBytes: Value };
          readonly cpu: { readonly usageCoreNanoSeconds: Value };
        }[];
      }>("stats", "-o", "json", id);
      assert.ok(Number(stats[0]?.memory.workingSetBytes.value) > 0);
      assert.ok(Number(stats[0]?.cpu.usageCoreNanoSeconds.value) > 0);
      assert.match(await crictl("stats"), /busy/);
      const pods = await json<{
        readonly stats: readonly {
          readonly linux: {
            readonly memory: { readonly workingSetBytes: Value };
            readonly network: { readonly defaultInterface: { readonly rxBytes: Value } };
          };
        }[];
      }>("statsp", "-o", "json", "--id", pod);
      assert.ok(Number(pods.stats[0]?.linux.memory.workingSetBytes.value) > 0);
      assert.ok(Number(pods.stats[0]?.linux.network.defaultInterface.rxBytes.value) > 0);
      await crictl("stop", "-t", "0", id);
      await crictl("rm", id);
    });

    test("metricdescs and metricsp speak of cAdvisor's metrics", async () => {
      const { descriptors } = await json<{ readonly descriptors: readonly { readonly name: string }[] }>("metricdescs");
      const names = descriptors.map(({ name }) => name);
      assert.ok(names.includes("container_cpu_usage_seconds_total"), names.join(" "));
      const { podMetrics } = await json<{
        readonly podMetrics: readonly { readonly podSandboxId: string; readonly metrics: readonly unknown[] }[];
      }>("metricsp");
      assert.ok((podMetrics.find(({ podSandboxId }) => podSandboxId === pod)?.metrics.length ?? 0) > 5);
    });

    test("checkpoint writes an archive, or says why this machine cannot", async () => {
      const id = (await crictl("create", pod, containerFile("frozen", "sleep 1000"), podFile("web"))).trim();
      await crictl("start", id);
      const archive = join(dir, "checkpoint.tar");
      try {
        await crictl("checkpoint", "--export", archive, id);
        const { stdout } = await runCommand("tar", ["-tf", archive]);
        assert.match(stdout.toString(), /^checkpoint\/inventory.img$/m);
        rmSync(archive);
      } catch (error) {
        if ("path" in criu) throw error;
        assert.match(messageOf(error), /criu/i);
        assert.match(messageOf(error), /FailedPrecondition/);
      }
      await crictl("rm", "-f", id);
    });

    test("config and completion work on their own", async () => {
      await crictl("config", "--set", "timeout=21");
      assert.match(readFileSync(settings(), "utf8"), /timeout: 21/);
      assert.match(await crictl("config", "--get", "timeout"), /21/);
      assert.match(await crictl("completion", "bash"), /complete .*crictl/);
    });

    test("stop, rm, stopp, rmp and rmi --prune leave nothing", async () => {
      await crictl("stop", container); // it has ended: that is no error
      await crictl("rm", container);
      await crictl("stopp", pod);
      const [stopped] = await podsOf("--id", pod);
      assert.equal(stopped?.state, "SANDBOX_NOTREADY");
      await crictl("rmp", pod);
      await crictl("rmp", "-fa");
      assert.deepEqual(await podsOf(), []);
      assert.deepEqual(await containersOf("-a"), []);
      await crictl("rmi", "--prune");
      assert.deepEqual(await images(), []);
    });
  });
}
