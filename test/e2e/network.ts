import { type ChildProcess, spawn, type SpawnOptions } from "node:child_process";
import { type CommandResult, runCommand, type RunCommandOptions } from "@tripod/base";
import { FreshNetns } from "@tripod/linux/testing";

/** A "host" of its own: a network namespace with loopback up, so that no bridge or rule of a test reaches the machine's network. */
export interface TestNetwork extends Disposable {
  /** Where the namespace is pinned. */
  readonly path: string;
  run(file: string, args: readonly string[], options?: RunCommandOptions): Promise<CommandResult>;
  spawn(file: string, args: readonly string[], options: SpawnOptions): ChildProcess;
}

/** Makes the namespace; it is gone when disposed. */
export function makeNetwork(): TestNetwork {
  const netns = new FreshNetns();
  const inside = (file: string, args: readonly string[]): string[] => [`--net=${netns.path}`, file, ...args];
  return {
    path: netns.path,
    run: (file, args, options) => runCommand("nsenter", inside(file, args), options),
    spawn: (file, args, options) => spawn("nsenter", inside(file, args), options),
    [Symbol.dispose]: () => netns[Symbol.dispose](),
  };
}
