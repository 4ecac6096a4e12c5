/** An Any as containerd's type registry has it for the runtime specification's types: the value is JSON. */
export const anyJson = (type: "Process" | "LinuxResources", value: object) => ({
  typeUrl: `types.containerd.io/opencontainers/runtime-spec/1/${type}`,
  value: new TextEncoder().encode(JSON.stringify(value)),
});
