import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  ControllerPublishVolumeResponseSchema,
  NodeExpandVolumeResponseSchema,
  NodeGetVolumeStatsResponseSchema,
  type VolumeCapabilitySchema,
  VolumeUsage_Unit as Unit,
} from "@tripod/api/csi";
import { Command } from "commander";
import { columns } from "../image/human.ts";
import { capabilityHelp, defaultCapabilities, capabilities } from "./capability-option.ts";
import {
  bytesOf,
  type CallOptions,
  enumName,
  keyValue,
  printReply,
  secretsOf,
  withCallOptions,
  withDriver,
} from "./driver-call.ts";

interface NodeOptions extends CallOptions {
  readonly cap?: MessageInitShape<typeof VolumeCapabilitySchema>[];
  readonly context?: Record<string, string>;
  readonly publishContext?: Record<string, string>;
  readonly staging?: string;
  readonly readonly?: true;
  readonly nodeId?: string;
  readonly size?: string;
}

const withVolumeOptions = (command: Command): Command =>
  withCallOptions(command)
    .argument("<volume>", "its id")
    .option("--cap <capability>", capabilityHelp, capabilities)
    .option("--context <key=value>", "the volume's context, as create printed it; several times", keyValue)
    .option("--publish-context <key=value>", "what attach printed; several times", keyValue);

const common = (volumeId: string, options: NodeOptions) => {
  const [volumeCapability] = defaultCapabilities(options.cap);
  return {
    volumeId,
    ...(volumeCapability === undefined ? {} : { volumeCapability }),
    volumeContext: options.context ?? {},
    secrets: secretsOf(options),
  };
};

const attachCommand = (): Command =>
  withVolumeOptions(new Command("attach"))
    .requiredOption("--node-id <id>", "the node, as tripod csi info there shows it")
    .option("--readonly", "read-only")
    .description("Attach a volume to a node (ControllerPublishVolume); prints the publish context")
    .addHelpText("after", "\nExample:\n  tripod csi attach vol-1 --node-id node-1 --cap ReadWriteOnce,block")
    .action((volumeId: string, options: NodeOptions) =>
      withDriver(options, async ({ controller }) => {
        const nodeId = options.nodeId ?? "";
        const readonly = options.readonly === true;
        const message = await controller.controllerPublishVolume({ ...common(volumeId, options), nodeId, readonly });
        const text = (): string =>
          Object.entries(message.publishContext)
            .map(([key, value]) => `${key}=${value}`)
            .join("\n");
        printReply(options, { schema: ControllerPublishVolumeResponseSchema, message, text });
      }),
    );

const detachCommand = (): Command =>
  withCallOptions(new Command("detach"))
    .argument("<volume>", "its id")
    .option("--node-id <id>", "the node; all of them unless told")
    .description("Detach a volume (ControllerUnpublishVolume)")
    .addHelpText("after", "\nExample:\n  tripod csi detach vol-1 --node-id node-1")
    .action((volumeId: string, options: NodeOptions) =>
      withDriver(options, async ({ controller }) => {
        await controller.controllerUnpublishVolume({
          volumeId,
          nodeId: options.nodeId ?? "",
          secrets: secretsOf(options),
        });
      }),
    );

const stageCommand = (): Command =>
  withVolumeOptions(new Command("stage"))
    .argument("<path>", "the staging folder, which is made")
    .description("Make a volume ready on this node (NodeStageVolume)")
    .addHelpText("after", "\nExample:\n  tripod csi stage vol-1 /mnt/staging --cap ReadWriteOnce,mount,xfs")
    .action((volumeId: string, stagingTargetPath: string, options: NodeOptions) =>
      withDriver(options, async ({ node }) => {
        mkdirSync(stagingTargetPath, { recursive: true, mode: 0o750 });
        const publishContext = options.publishContext ?? {};
        await node.nodeStageVolume({ ...common(volumeId, options), stagingTargetPath, publishContext });
      }),
    );

const unstageCommand = (): Command =>
  withCallOptions(new Command("unstage"))
    .argument("<volume>", "its id")
    .argument("<path>", "the staging folder")
    .description("Undo stage (NodeUnstageVolume)")
    .addHelpText("after", "\nExample:\n  tripod csi unstage vol-1 /mnt/staging")
    .action((volumeId: string, stagingTargetPath: string, options: NodeOptions) =>
      withDriver(options, async ({ node }) => {
        await node.nodeUnstageVolume({ volumeId, stagingTargetPath });
      }),
    );

const publishCommand = (): Command =>
  withVolumeOptions(new Command("publish"))
    .argument("<path>", "where; the folder above it is made")
    .option("--staging <path>", "where the volume is staged")
    .option("--readonly", "read-only")
    .description("Show a volume at a path (NodePublishVolume)")
    .addHelpText(
      "after",
      "\nExample:\n  tripod csi stage vol-1 /mnt/staging && tripod csi publish vol-1 /mnt/data --staging /mnt/staging",
    )
    .action((volumeId: string, targetPath: string, options: NodeOptions) =>
      withDriver(options, async ({ node }) => {
        mkdirSync(dirname(targetPath), { recursive: true, mode: 0o750 });
        await node.nodePublishVolume({
          ...common(volumeId, options),
          targetPath,
          stagingTargetPath: options.staging ?? "",
          publishContext: options.publishContext ?? {},
          readonly: options.readonly === true,
        });
      }),
    );

const unpublishCommand = (): Command =>
  withCallOptions(new Command("unpublish"))
    .argument("<volume>", "its id")
    .argument("<path>", "where it is published")
    .description("Undo publish (NodeUnpublishVolume)")
    .addHelpText("after", "\nExample:\n  tripod csi unpublish vol-1 /mnt/data")
    .action((volumeId: string, targetPath: string, options: NodeOptions) =>
      withDriver(options, async ({ node }) => {
        await node.nodeUnpublishVolume({ volumeId, targetPath });
      }),
    );

const statsCommand = (): Command =>
  withCallOptions(new Command("stats"))
    .argument("<volume>", "its id")
    .argument("<path>", "where it is published, or staged")
    .description("Show how full a volume is (NodeGetVolumeStats)")
    .addHelpText("after", "\nExample:\n  tripod csi stats vol-1 /mnt/data")
    .action((volumeId: string, volumePath: string, options: NodeOptions) =>
      withDriver(options, async ({ node }) => {
        const message = await node.nodeGetVolumeStats({ volumeId, volumePath });
        const rows = message.usage.map(({ unit, total, used, available }) => [
          enumName(Unit, unit),
          ...[total, used, available].map(String),
        ]);
        printReply(options, {
          schema: NodeGetVolumeStatsResponseSchema,
          message,
          text: () => columns([["UNIT", "TOTAL", "USED", "AVAILABLE"], ...rows]),
        });
      }),
    );

const nodeExpandCommand = (): Command =>
  withVolumeOptions(new Command("node-expand"))
    .argument("<path>", "where it is published")
    .option("--size <quantity>", "the new size; all of the volume unless told")
    .option("--staging <path>", "where the volume is staged")
    .description("Let a volume's users have all of it after expand (NodeExpandVolume)")
    .addHelpText("after", "\nExample:\n  tripod csi node-expand vol-1 /mnt/data --staging /mnt/staging")
    .action((volumeId: string, volumePath: string, options: NodeOptions) =>
      withDriver(options, async ({ node }) => {
        const { volumeContext: _context, ...request } = common(volumeId, options);
        const message = await node.nodeExpandVolume({
          ...request,
          volumePath,
          stagingTargetPath: options.staging ?? "",
          ...(options.size === undefined ? {} : { capacityRange: { requiredBytes: bytesOf(options.size) } }),
        });
        printReply(options, {
          schema: NodeExpandVolumeResponseSchema,
          message,
          text: () => `bytes: ${message.capacityBytes}`,
        });
      }),
    );

/** The calls that bring a volume to a node and its users. */
export const nodeCommands = (): Command[] => [
  attachCommand(),
  detachCommand(),
  stageCommand(),
  unstageCommand(),
  publishCommand(),
  unpublishCommand(),
  statsCommand(),
  nodeExpandCommand(),
];
