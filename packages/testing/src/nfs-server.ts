import { type ChildProcess, spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { createInterface } from "node:readline";
import { runCommand, TripodError } from "@tripod/base";

const ganesha = "/usr/bin/ganesha.nfsd";

/** A running NFS 4 server in a network namespace of its own. */
export interface TestNfsServer extends AsyncDisposable {
  /** Its address, for this process's network namespace. */
  readonly server: string;
  readonly share: string;
  /** Where the share lies. */
  readonly dir: string;
  /** kill -9. */
  stop(): Promise<void>;
  start(): Promise<void>;
  /** It stays, and answers nothing: until "SIGCONT". */
  signal(signal: "SIGSTOP" | "SIGCONT"): Promise<void>;
}

/** Why this machine can run no NFS server; false when it can. */
export const noNfsServer: false | string =
  process.getuid?.() !== 0
    ? "needs root"
    : existsSync(ganesha)
      ? false
      : "there is no ganesha.nfsd; apt-get install nfs-ganesha nfs-ganesha-vfs";

/** Starts Debian's nfs-ganesha, which serves a folder by NFS 4.0 to 4.2, with root as root. It goes with this process, killed or not. */
export async function startNfsServer(): Promise<TestNfsServer> {
  await using owned = new AsyncDisposableStack();
  const home = mkdtempSync("/tmp/tripod-nfs-");
  owned.defer(() => rmSync(home, { recursive: true, force: true }));
  const dir = join(home, "share");
  mkdirSync(dir);
  mkdirSync(join(home, "recovery"));
  const config = join(home, "ganesha.conf");
  writeFileSync(
    config,
    `NFS_CORE_PARAM { Protocols = 4; Enable_NLM = false; Enable_RQUOTA = false; }
NFSv4 { Graceless = true; RecoveryBackend = fs; RecoveryRoot = ${home}/recovery; Only_Numeric_Owners = true; }
EXPORT { Export_Id = 1; Path = ${dir}; Pseudo = /share; Access_Type = RW; Squash = No_Root_Squash; SecType = sys; FSAL { Name = VFS; } }
LOG { Default_Log_Level = EVENT; }
`,
  );
  // It holds the namespaces while the server is restarted.
  const script = "ip link set lo up; mount -t tmpfs none /run; mkdir -p /run/ganesha; echo ready; exec sleep infinity";
  const holder = launch(["unshare", "--net", "--mount", "sh", "-c", script]);
  owned.defer(() => end(holder));
  await told(holder, /ready/, "make namespaces for an NFS server");
  const pid = String(holder.pid);
  const subnet = `10.${randomInt(64, 128)}.${randomInt(256)}`;
  const link = `nfs${pid}`;
  await runCommand("ip", ["link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", pid]);
  await runCommand("ip", ["address", "add", `${subnet}.1/30`, "dev", link]);
  await runCommand("ip", ["link", "set", link, "up"]);
  const inside = ["nsenter", "--net", "--mount", "--target", pid];
  for (const words of [
    ["address", "add", `${subnet}.2/30`, "dev", "eth0"],
    ["link", "set", "eth0", "up"],
  ])
    await runCommand("nsenter", [...inside.slice(1), "ip", ...words]);
  let running: ChildProcess | undefined;
  owned.defer(() => running && end(running));
  const server: Omit<TestNfsServer, typeof Symbol.asyncDispose> = {
    server: `${subnet}.2`,
    share: "/share",
    dir,
    async stop() {
      if (running !== undefined) await end(running);
      running = undefined;
    },
    async start() {
      running = launch([...inside, ganesha, "-F", "-f", config, "-L", "STDOUT", "-p", join(home, "pid")]);
      await told(running, /NFS SERVER INITIALIZED/, "start nfs-ganesha");
    },
    async signal(signal) {
      running?.kill(signal);
      // Each of its threads is stopped on its own: one may answer a call yet.
      while (signal === "SIGSTOP" && running?.pid !== undefined && !isStopped(running.pid)) await setImmediate();
    },
  };
  await server.start();
  const kept = owned.move();
  return { ...server, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

/** setpriv's death signal ends it also when the test process is killed. */
const launch = (words: readonly string[]): ChildProcess =>
  spawn("setpriv", ["--pdeathsig", "KILL", ...words], { stdio: ["ignore", "pipe", "ignore"] });

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  child.kill("SIGKILL");
  await exited;
}

/** Waits for a line; what comes later is read and forgotten. */
function told(child: ChildProcess, line: RegExp, what: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const said: string[] = [];
    child.once("error", (cause) => reject(new TripodError("not-found", what, { cause })));
    child.once("exit", (code) =>
      reject(new TripodError("internal", `${what}: ended with ${code}: ${said.join("\n")}`)),
    );
    if (child.stdout === null) return;
    createInterface({ input: child.stdout }).on("line", (text) => {
      if (said.length < 100) said.push(text);
      if (line.test(text)) resolve();
    });
  });
}

/** Whether every thread of a process is stopped ("T" after its name in proc_pid_stat(5)). */
const isStopped = (pid: number): boolean =>
  readdirSync(`/proc/${pid}/task`).every((task) =>
    /\) T /.test(readFileSync(`/proc/${pid}/task/${task}/stat`, "utf8")),
  );
