import { CniError, type CniRuntimeOptions, type PluginCallEnd, type PluginCallStart } from "@tripod/cni";

/** The variables that a plugin is given, as its environment has them. */
const variables = ({ command, containerId, netns, ifname, args }: PluginCallStart): readonly string[] =>
  Object.entries({
    CNI_COMMAND: command,
    CNI_CONTAINERID: containerId,
    CNI_NETNS: netns,
    CNI_IFNAME: ifname,
    CNI_ARGS: args,
  }).flatMap(([name, value]) => (value === "" ? [] : [`${name}=${value}`]));

const errorOf = ({ error }: PluginCallEnd): { readonly code?: number; readonly msg: string } | undefined =>
  error && { ...(error instanceof CniError && { code: error.cniCode }), msg: error.message };

/**
 * Writes each call of a plugin: what goes in when it begins, what comes out when it ends, delegates further in. `json`: an object a line for
 * each of both.
 */
export function callTrace(write: (line: string) => void, json: boolean): NonNullable<CniRuntimeOptions["onCall"]> {
  let depth = 0;
  return (call) => {
    const margin = "  ".repeat(depth);
    const name = `${call.type} ${call.command}`;
    if (json) write(JSON.stringify({ event: "call", depth, ...call }));
    else {
      write(`${margin}> ${name}  ${call.executable ?? "in process"}`);
      write(`${margin}  ${variables(call).join(" ")}`);
      write(`${margin}  stdin   ${JSON.stringify(call.stdin)}`);
    }
    depth += 1;
    return (end) => {
      depth -= 1;
      const { stdout, durationMs } = end;
      const error = errorOf(end);
      const { type, command } = call;
      if (json) {
        const ms = Number(durationMs.toFixed(3));
        write(JSON.stringify({ event: "end", depth, type, command, durationMs: ms, stdout, error }));
        return;
      }
      write(`${margin}< ${name}  ${durationMs.toFixed(1)} ms`);
      if (stdout !== undefined) write(`${margin}  stdout  ${JSON.stringify(stdout)}`);
      if (error !== undefined)
        write(`${margin}  error   ${error.code === undefined ? "" : `${error.code} `}${error.msg}`);
    };
  };
}
