import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { BootstrapResultSchema } from "@tripod/api/containerd-task";
import { parseShimAddress } from "./shim-address.ts";

const bootstrap = (version: number, protocol = "ttrpc"): Buffer =>
  Buffer.from(
    toBinary(BootstrapResultSchema, create(BootstrapResultSchema, { version, protocol, address: "unix:///run/s" })),
  );

test("a shim's address is read in all the forms that containerd's have had", () => {
  const rows: [output: Buffer | string, version: number][] = [
    ["unix:///run/s", 2],
    ["unix:///run/s\n", 2],
    ['{"version":2,"address":"unix:///run/s","protocol":"ttrpc"}', 2],
    ['{"version":3,"address":"unix:///run/s","protocol":"ttrpc"}\n', 3],
    [bootstrap(3), 3],
  ];
  for (const [output, version] of rows) {
    assert.deepEqual(parseShimAddress(Buffer.from(output)), { socket: "/run/s", version }, String(output));
  }
});

test("a shim's address that cannot be used is refused", () => {
  const rows: [output: Buffer | string, why: RegExp][] = [
    ["", /is not a unix socket/],
    ["panic: oh no", /in place of its address/],
    ["{", /is not JSON/],
    ['{"version":3,"address":"vsock://1:2","protocol":"ttrpc"}', /not a unix socket/],
    ['{"version":3,"address":"unix:///s","protocol":"grpc"}', /speaks "grpc"/],
    [bootstrap(4), /version 4/],
  ];
  for (const [output, why] of rows) assert.throws(() => parseShimAddress(Buffer.from(output)), why, String(output));
});
