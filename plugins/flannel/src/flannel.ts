import { readFileSync } from "node:fs";
import { failpoint, messageOf, TripodError } from "@tripod/base";
import {
  CniError,
  cniCodes,
  type CniPlugin,
  type CniResult,
  definePlugin,
  differs,
  type JsonObject,
  type PluginCall,
} from "@tripod/cni/sdk";
import { delegatesOf, filesOfAll, findDelegate, removeDelegate, storeDelegate } from "./delegate-store.ts";
import { delegateConfig, type FlannelConfig, parseFlannelConfig } from "./flannel-config.ts";
import { parseSubnetEnv, type SubnetEnv } from "./subnet-env.ts";

/** What flanneld says; CNI code 11 (try again) while it has not said anything. */
function readSubnetEnv({ subnetFile }: FlannelConfig): SubnetEnv {
  let text: string;
  try {
    text = readFileSync(subnetFile, "utf8");
  } catch (cause) {
    throw new CniError(
      cniCodes.tryAgainLater,
      `flannel: ${subnetFile}: ${messageOf(cause)}; flanneld writes it once it runs on this node`,
      { cause },
    );
  }
  return parseSubnetEnv(text, subnetFile);
}

/** The delegate's standard input: what was kept, and what this call says beside it. */
function inputOf(call: PluginCall, kept: JsonObject): JsonObject {
  const more = ["prevResult", "cni.dev/valid-attachments", "cni.dev/attachments"].flatMap((key) => {
    const value = call.config[key];
    return value === undefined ? [] : [[key, value] as const];
  });
  return { ...kept, cniVersion: call.cniVersion, ...Object.fromEntries(more) };
}

async function add(call: PluginCall): Promise<CniResult> {
  const config = parseFlannelConfig(call);
  const delegate = delegateConfig(config, readSubnetEnv(config), { name: call.network, cniVersion: call.cniVersion });
  const before = findDelegate(config.dataDir, call);
  storeDelegate(config.dataDir, call, delegate);
  failpoint("flannel.stored");
  try {
    return await call.delegate(delegate.type, "ADD", delegate);
  } catch (error) {
    // A delegate takes back what it had made; a record that was there before belongs to an ADD that is to stay.
    const stored = before === undefined ? findDelegate(config.dataDir, call) : undefined;
    if (stored !== undefined && !(error instanceof TripodError && error.code === "already-exists"))
      removeDelegate(stored);
    throw error;
  }
}

/** The record goes after the delegate has succeeded, and not before: a failed DEL can be asked again (upstream's forgets the delegate). */
async function del(call: PluginCall): Promise<void> {
  const { dataDir } = parseFlannelConfig(call);
  const stored = findDelegate(dataDir, call);
  if (stored === undefined) return;
  await call.delegate(stored.config.type, "DEL", inputOf(call, stored.config));
  failpoint("flannel.deleted");
  removeDelegate(stored);
}

async function check(call: PluginCall): Promise<void> {
  const { dataDir } = parseFlannelConfig(call);
  const stored = findDelegate(dataDir, call);
  if (stored === undefined)
    throw differs("flannel", `there is no record of ${call.ifname} of ${call.containerId} in ${dataDir}`);
  await call.delegate(stored.config.type, "CHECK", inputOf(call, stored.config));
}

/** Each kind of delegate collects, by a configuration of the network's that was kept; then the records of nobody go. */
async function gc(call: PluginCall): Promise<void> {
  const { dataDir } = parseFlannelConfig(call);
  const stored = delegatesOf(dataDir, call.network);
  const wanted = filesOfAll(dataDir, call.validAttachments);
  const types = new Map(stored.map(({ config }) => [config.type, config]));
  for (const [type, config] of types) await call.delegate(type, "GC", inputOf(call, config));
  for (const each of stored) if (!wanted.has(each.file)) removeDelegate(each);
}

async function status(call: PluginCall): Promise<void> {
  const config = parseFlannelConfig(call);
  let delegate;
  try {
    delegate = delegateConfig(config, readSubnetEnv(config), { name: call.network, cniVersion: call.cniVersion });
  } catch (error) {
    throw new CniError(cniCodes.pluginNotAvailable, messageOf(error), { cause: error });
  }
  await call.delegate(delegate.type, "STATUS", delegate);
}

/** Hands on to another plugin (bridge), with what flanneld says about this node put into its configuration. */
export const flannel: CniPlugin = definePlugin({
  name: "flannel",
  add,
  del,
  check,
  gc,
  status,
  validate: parseFlannelConfig,
});
