import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, watch, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before } from "node:test";
import { randomHex } from "@tripod/base";
import { cgroupVersion, removeCgroup } from "@tripod/linux";
import type { LowLevelRuntime, SupervisedContainer } from "../low-level-runtime.ts";
import { buildRuntimeSpec } from "../spec/build-runtime-spec.ts";
import { noResources } from "../spec/resources.ts";

/** Makes the runtime under test; it keeps its state in `rootDir` and leaves exit codes in `exitDir`. */
export type MakeRuntime = (folders: { readonly rootDir: string; readonly exitDir: string }) => LowLevelRuntime;

/** A bundle that a suite has made. */
export interface SuiteBundle {
  readonly id: string;
  readonly bundle: string;
  readonly cgroupsPath: string;
}

export interface RuntimeSubject {
  /** The runtime, once the tests have begun. */
  readonly made: () => LowLevelRuntime;
  /** A bundle of busybox that runs `args`. */
  readonly prepare: (args: readonly string[]) => SuiteBundle;
  /** Creates a container that runs a shell script. */
  readonly create: (script: string) => Promise<SuiteBundle & SupervisedContainer & { readonly logPath: string }>;
  /** The exit code, once the supervisor has left it. */
  readonly exitCode: (id: string) => Promise<string>;
}

/** A runtime in folders of its own, and bundles for it; all is taken away after the tests of this file or `describe`. */
export function runtimeSubject(makeRuntime: MakeRuntime): RuntimeSubject {
  const instance = randomHex(4);
  const cgroupRoot = `/tripod-${instance}`;
  let folder: string;
  let exitDir: string;
  let runtime: LowLevelRuntime;

  before(() => {
    folder = mkdtempSync("/tmp/tripod-runtime-");
    exitDir = join(folder, "exits");
    runtime = makeRuntime({ rootDir: join(folder, "state"), exitDir });
  });
  after(async () => {
    for (const each of bundles) await runtime.delete(each); // of tests that failed
    await removeCgroup(cgroupRoot);
    rmSync(folder, { recursive: true });
  });

  const bundles: { id: string; bundle: string; cgroupsPath: string }[] = [];
  const prepare = (args: readonly string[]) => {
    const id = randomHex(32);
    const bundle = join(folder, id);
    const rootfs = join(bundle, "rootfs");
    for (const part of ["bin", "proc", "dev", "sys", "tmp"]) mkdirSync(join(rootfs, part), { recursive: true });
    copyFileSync("/bin/busybox", join(rootfs, "bin/busybox"));
    copyFileSync("/bin/busybox", join(rootfs, "bin/sh"));
    const cgroupsPath = `${cgroupRoot}/${id}`;
    const spec = buildRuntimeSpec({
      rootfs,
      rootReadonly: false,
      args,
      cwd: "/",
      environment: ["PATH=/bin"],
      terminal: false,
      user: { uid: 0, gid: 0, additionalGids: [], home: "/" },
      noNewPrivileges: false,
      privileged: false,
      capabilities: { add: [], drop: [], ambient: [] },
      rlimits: {},
      oomScoreAdj: 0,
      namespaces: {
        network: { kind: "new" },
        ipc: { kind: "new" },
        uts: { kind: "new" },
        pid: { kind: "new" },
        cgroup: { kind: "host" },
      },
      binds: [],
      devices: [],
      maskedPaths: [],
      readonlyPaths: [],
      sysctls: {},
      cgroupsPath,
      cgroup: { version: cgroupVersion(), swapLimit: false, hugetlb: false },
      resources: noResources,
      seccomp: { kind: "unconfined" },
      annotations: {},
    });
    writeFileSync(join(bundle, "config.json"), JSON.stringify(spec));
    const container = { id, bundle, cgroupsPath };
    bundles.push(container);
    return container;
  };
  const create = async (script: string) => {
    const container = prepare(["/bin/sh", "-c", script]);
    const logPath = join(container.bundle, "container.log");
    const made = await runtime.create({ ...container, logPath, terminal: false, stdin: true, stdinOnce: true });
    return { ...container, ...made, logPath };
  };
  const exitCode = async (id: string): Promise<string> => {
    const path = join(exitDir, id);
    const { promise, resolve } = Promise.withResolvers<void>();
    const look = (): void => {
      if (existsSync(path) && readFileSync(path, "utf8") !== "") resolve();
    };
    const watcher = watch(exitDir, look);
    look();
    await promise;
    watcher.close();
    return readFileSync(path, "utf8").trim();
  };

  return { made: () => runtime, prepare, create, exitCode };
}
