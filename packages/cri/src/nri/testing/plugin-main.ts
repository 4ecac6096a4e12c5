#!/usr/bin/env node
// A plugin as a program, as the runtime starts it: it puts its configuration into containers as $FROM_PLUGIN.
import { Socket } from "node:net";
import { startTestPlugin } from "./test-plugin.ts";

const { NRI_PLUGIN_SOCKET, NRI_PLUGIN_IDX = "", NRI_PLUGIN_NAME = "" } = process.env;
let config = "";
const plugin = await startTestPlugin(new Socket({ fd: Number(NRI_PLUGIN_SOCKET) }), {
  index: NRI_PLUGIN_IDX,
  name: NRI_PLUGIN_NAME,
  handlers: {
    async configure(request) {
      config = request.config;
      return {};
    },
    async createContainer() {
      return { adjust: { env: [{ key: "FROM_PLUGIN", value: `${NRI_PLUGIN_IDX}-${NRI_PLUGIN_NAME}: ${config}` }] } };
    },
  },
});
await plugin.closed;
process.exit(0);
