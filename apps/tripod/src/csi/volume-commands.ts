import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  ControllerExpandVolumeResponseSchema,
  ControllerGetVolumeHealthResponseSchema,
  CreateVolumeResponseSchema,
  GetCapacityResponseSchema,
  ListVolumesResponseSchema,
  ValidateVolumeCapabilitiesResponseSchema,
  type VolumeCapabilitySchema,
  type VolumeContentSourceSchema,
  VolumeHealthErrorType,
} from "@tripod/api/csi";
import { TripodError } from "@tripod/base";
import { Command } from "commander";
import { columns } from "../image/human.ts";
import { capabilities, capabilityHelp, defaultCapabilities } from "./capability-option.ts";
import {
  allPages,
  bytesOf,
  type CallOptions,
  enumName,
  facts,
  keyValue,
  printReply,
  secretsOf,
  withCallOptions,
  withDriver,
} from "./driver-call.ts";

type Capability = MessageInitShape<typeof VolumeCapabilitySchema>;
type Source = MessageInitShape<typeof VolumeContentSourceSchema>;

interface VolumeOptions extends CallOptions {
  readonly size?: string;
  readonly limit?: string;
  readonly cap?: Capability[];
  readonly param?: Record<string, string>;
  readonly mutable?: Record<string, string>;
  readonly from?: string;
  readonly topology?: Record<string, string>;
}

/** "snapshot:ID" or "volume:ID". */
function sourceOf(text: string): Source {
  const [kind = "", ...rest] = text.split(":");
  const id = rest.join(":");
  if (kind === "snapshot" && id !== "") return { type: { case: "snapshot", value: { snapshotId: id } } };
  if (kind === "volume" && id !== "") return { type: { case: "volume", value: { volumeId: id } } };
  throw new TripodError("invalid", `--from ${text}: neither snapshot:ID nor volume:ID`);
}

const range = ({ size, limit }: VolumeOptions) =>
  size === undefined && limit === undefined
    ? {}
    : { capacityRange: { requiredBytes: bytesOf(size), limitBytes: bytesOf(limit) } };

const createCommand = (): Command =>
  withCallOptions(new Command("create"))
    .argument("<name>", "the volume's name, by which a repeated call finds it")
    .description("Create a volume; prints its id")
    .option("--size <quantity>", "at least so large, as 10Gi")
    .option("--limit <quantity>", "at most so large")
    .option("--cap <capability>", `${capabilityHelp}; several times`, capabilities)
    .option("--param <key=value>", "a parameter of the class; several times", keyValue)
    .option("--mutable <key=value>", "a parameter that may change later; several times", keyValue)
    .option("--from <source>", "with the content of snapshot:ID or volume:ID")
    .option("--topology <key=value>", "where it must be reachable; several times", keyValue)
    .addHelpText(
      "after",
      "\nExamples:\n  tripod csi create data --size 1Gi --cap ReadWriteOnce,mount,xfs\n  tripod csi create copy --from snapshot:snap-1 --size 1Gi",
    )
    .action((name: string, options: VolumeOptions) =>
      withDriver(options, async ({ controller }) => {
        const message = await controller.createVolume({
          name,
          ...range(options),
          volumeCapabilities: defaultCapabilities(options.cap),
          parameters: options.param ?? {},
          mutableParameters: options.mutable ?? {},
          secrets: secretsOf(options),
          ...(options.from === undefined ? {} : { volumeContentSource: sourceOf(options.from) }),
          ...(options.topology === undefined
            ? {}
            : {
                accessibilityRequirements: {
                  requisite: [{ segments: options.topology }],
                  preferred: [{ segments: options.topology }],
                },
              }),
        });
        const { volume } = message;
        const text = (): string =>
          facts([
            ["id", volume?.volumeId ?? ""],
            ["bytes", String(volume?.capacityBytes ?? 0n)],
            ["context", JSON.stringify({ ...volume?.volumeContext }).replace("{}", "")],
            [
              "topology",
              (volume?.accessibleTopology ?? []).map(({ segments }) => JSON.stringify({ ...segments })).join(" "),
            ],
          ]);
        printReply(options, { schema: CreateVolumeResponseSchema, message, text });
      }),
    );

const deleteCommand = (): Command =>
  withCallOptions(new Command("delete"))
    .argument("<volume>", "its id")
    .description("Delete a volume; one that does not exist is no error")
    .addHelpText("after", "\nExample:\n  tripod csi delete vol-1")
    .action((volumeId: string, options: CallOptions) =>
      withDriver(options, async ({ controller }) => {
        await controller.deleteVolume({ volumeId, secrets: secretsOf(options) });
      }),
    );

const listCommand = (): Command =>
  withCallOptions(new Command("list"))
    .alias("ls")
    .description("List the driver's volumes, with the nodes that they are published on")
    .addHelpText("after", "\nExample:\n  tripod csi list --json")
    .action((options: CallOptions) =>
      withDriver(options, async ({ controller }) => {
        const message = await allPages((page) => controller.listVolumes(page));
        const rows = message.entries.map(({ volume, status }) => [
          volume?.volumeId ?? "",
          String(volume?.capacityBytes ?? 0n),
          (status?.publishedNodeIds ?? []).join(","),
        ]);
        printReply(options, {
          schema: ListVolumesResponseSchema,
          message,
          text: () => columns([["VOLUME", "BYTES", "NODES"], ...rows]),
        });
      }),
    );

const validateCommand = (): Command =>
  withCallOptions(new Command("validate"))
    .argument("<volume>", "its id")
    .description("Ask whether a volume can be used so; exit code 1 when not")
    .addHelpText("after", "\nExample:\n  tripod csi validate vol-1 --cap ReadWriteMany,mount,ext4")
    .option("--cap <capability>", `${capabilityHelp}; several times`, capabilities)
    .action((volumeId: string, options: VolumeOptions) =>
      withDriver(options, async ({ controller }) => {
        const volumeCapabilities = defaultCapabilities(options.cap);
        const message = await controller.validateVolumeCapabilities({
          volumeId,
          volumeCapabilities,
          secrets: secretsOf(options),
        });
        const text = (): string => (message.confirmed === undefined ? `no: ${message.message}` : "yes");
        printReply(options, { schema: ValidateVolumeCapabilitiesResponseSchema, message, text });
        if (message.confirmed === undefined) process.exitCode = 1;
      }),
    );

const capacityCommand = (): Command =>
  withCallOptions(new Command("capacity"))
    .description("Ask how much room there is for new volumes")
    .addHelpText(
      "after",
      "\nExample:\n  tripod csi capacity --param allocation=thick --topology topology.loop.csi.tripod.dev/node=$(hostname)",
    )
    .option("--cap <capability>", `${capabilityHelp}; several times`, capabilities)
    .option("--param <key=value>", "a parameter of the class; several times", keyValue)
    .option("--topology <key=value>", "where; several times", keyValue)
    .action((options: VolumeOptions) =>
      withDriver(options, async ({ controller }) => {
        const message = await controller.getCapacity({
          volumeCapabilities: options.cap ?? [],
          parameters: options.param ?? {},
          ...(options.topology === undefined ? {} : { accessibleTopology: { segments: options.topology } }),
        });
        const text = (): string =>
          facts([
            ["available bytes", String(message.availableCapacity)],
            ["largest volume", message.maximumVolumeSize === undefined ? "" : String(message.maximumVolumeSize)],
            ["smallest volume", message.minimumVolumeSize === undefined ? "" : String(message.minimumVolumeSize)],
          ]);
        printReply(options, { schema: GetCapacityResponseSchema, message, text });
      }),
    );

const expandCommand = (): Command =>
  withCallOptions(new Command("expand"))
    .argument("<volume>", "its id")
    .requiredOption("--size <quantity>", "the new size, as 20Gi")
    .option("--cap <capability>", capabilityHelp, capabilities)
    .description("Make a volume larger; says whether its node has to do something, too (node-expand)")
    .addHelpText("after", "\nExample:\n  tripod csi expand vol-1 --size 20Gi && tripod csi node-expand vol-1 /mnt/data")
    .action((volumeId: string, options: VolumeOptions) =>
      withDriver(options, async ({ controller }) => {
        const [volumeCapability] = options.cap ?? [];
        const message = await controller.controllerExpandVolume({
          volumeId,
          ...range(options),
          secrets: secretsOf(options),
          ...(volumeCapability === undefined ? {} : { volumeCapability }),
        });
        const text = (): string =>
          facts([
            ["bytes", String(message.capacityBytes)],
            ["node expansion", message.nodeExpansionRequired ? "needed: tripod csi node-expand" : "not needed"],
          ]);
        printReply(options, { schema: ControllerExpandVolumeResponseSchema, message, text });
      }),
    );

const modifyCommand = (): Command =>
  withCallOptions(new Command("modify"))
    .argument("<volume>", "its id")
    .requiredOption("--mutable <key=value>", "a parameter; several times", keyValue)
    .description("Change a volume's mutable parameters")
    .addHelpText("after", "\nExample:\n  tripod csi modify vol-1 --mutable readAheadKb=512")
    .action((volumeId: string, options: VolumeOptions) =>
      withDriver(options, async ({ controller }) => {
        await controller.controllerModifyVolume({
          volumeId,
          mutableParameters: options.mutable ?? {},
          secrets: secretsOf(options),
        });
      }),
    );

const healthCommand = (): Command =>
  withCallOptions(new Command("health"))
    .argument("<volume>", "its id")
    .description("Ask the controller service how well a volume is; exit code 1 when it has problems")
    .addHelpText("after", "\nExample:\n  tripod csi health vol-1 --json")
    .action((volumeId: string, options: CallOptions) =>
      withDriver(options, async ({ controller }) => {
        const message = await controller.controllerGetVolumeHealth({ volumeId, secrets: secretsOf(options) });
        const problems = message.volumeHealth?.healthStatuses ?? [];
        const text = (): string =>
          problems.length === 0
            ? "well"
            : problems
                .map(
                  ({ status, reason, message: why }) => `${enumName(VolumeHealthErrorType, status)} ${reason}: ${why}`,
                )
                .join("\n");
        printReply(options, { schema: ControllerGetVolumeHealthResponseSchema, message, text });
        if (problems.length > 0) process.exitCode = 1;
      }),
    );

/** The calls of the controller service about volumes. */
export const volumeCommands = (): Command[] => [
  createCommand(),
  deleteCommand(),
  listCommand(),
  validateCommand(),
  capacityCommand(),
  expandCommand(),
  modifyCommand(),
  healthCommand(),
];
