import { type ChildProcess, spawn, type SpawnOptions } from "node:child_process";
import { type CommandResult, randomHex, runCommand, type RunCommandOptions } from "@tripod/base";

/** A "host" of its own: a network namespace with loopback up, so that no bridge or rule of a test reaches the machine's network. */
export interface TestNetwork extends AsyncDisposable {
  readonly name: string;
  run(file: string, args: readonly string[], options?: RunCommandOptions): Promise<CommandResult>;
  spawn(file: string, args: readonly string[], options: SpawnOptions): ChildProcess;
}

/** Makes the namespace; it is gone when disposed. */
export async function makeNetwork(): Promise<TestNetwork> {
  const name = `tripod-test-${randomHex(4)}`;
  await runCommand("ip", ["netns", "add", name]);
  await runCommand("ip", ["-n", name, "link", "set", "lo", "up"]);
  const inside = (file: string, args: readonly string[]): string[] => [`--net=/run/netns/${name}`, file, ...args];
  return {
    name,
    run: (file, args, options) => runCommand("nsenter", inside(file, args), options),
    spawn: (file, args, options) => spawn("nsenter", inside(file, args), options),
    async [Symbol.asyncDispose]() {
      await runCommand("ip", ["netns", "delete", name]);
    },
  };
}
