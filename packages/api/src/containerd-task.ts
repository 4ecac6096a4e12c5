export { BootstrapResultSchema } from "../gen/containerd/task/bootstrap_pb.ts";
export { OptionsSchema as RuncOptionsSchema } from "../gen/containerd/task/options_pb.ts";
export { OptionsSchema as RuntimeOptionsSchema } from "../gen/containerd/task/runtime_options_pb.ts";
export { Status, Task as TaskV2 } from "../gen/containerd/task/v2_pb.ts";
export { Task as TaskV3 } from "../gen/containerd/task/v3_pb.ts";
