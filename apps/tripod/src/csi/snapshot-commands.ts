import { timestampDate } from "@bufbuild/protobuf/wkt";
import {
  CreateSnapshotResponseSchema,
  CreateVolumeGroupSnapshotResponseSchema,
  ListSnapshotsResponseSchema,
  type Snapshot,
} from "@tripod/api/csi";
import { Command } from "commander";
import { columns } from "../image/human.ts";
import {
  allPages,
  type CallOptions,
  keyValue,
  print,
  printReply,
  secretsOf,
  wholeNumber,
  withCallOptions,
  withDriver,
} from "./driver-call.ts";

interface SnapshotOptions extends CallOptions {
  readonly param?: Record<string, string>;
  readonly volume?: string;
}

const head = ["SNAPSHOT", "VOLUME", "BYTES", "TAKEN", "READY"];
const row = (snapshot: Snapshot | undefined): string[] => [
  snapshot?.snapshotId ?? "",
  snapshot?.sourceVolumeId ?? "",
  String(snapshot?.sizeBytes ?? 0n),
  snapshot?.creationTime === undefined ? "" : timestampDate(snapshot.creationTime).toISOString(),
  snapshot?.readyToUse === true ? "yes" : "no",
];

/** `tripod csi snapshot create|delete|list`. */
export function snapshotCommand(): Command {
  const create = withCallOptions(new Command("create"))
    .argument("<name>", "the snapshot's name, by which a repeated call finds it")
    .argument("<volume>", "the id of its source")
    .option("--param <key=value>", "a parameter of the class; several times", keyValue)
    .description("Take a snapshot")
    .addHelpText("after", "\nExample:\n  tripod csi snapshot create before-upgrade vol-1")
    .action((name: string, sourceVolumeId: string, options: SnapshotOptions) =>
      withDriver(options, async ({ controller }) => {
        const request = { name, sourceVolumeId, parameters: options.param ?? {}, secrets: secretsOf(options) };
        const message = await controller.createSnapshot(request);
        printReply(options, {
          schema: CreateSnapshotResponseSchema,
          message,
          text: () => columns([head, row(message.snapshot)]),
        });
      }),
    );
  const remove = withCallOptions(new Command("delete"))
    .argument("<snapshot>", "its id")
    .description("Delete a snapshot; one that does not exist is no error")
    .addHelpText("after", "\nExample:\n  tripod csi snapshot delete snap-1")
    .action((snapshotId: string, options: CallOptions) =>
      withDriver(options, async ({ controller }) => {
        await controller.deleteSnapshot({ snapshotId, secrets: secretsOf(options) });
      }),
    );
  const list = withCallOptions(new Command("list"))
    .alias("ls")
    .option("--volume <id>", "those of one volume")
    .description("List snapshots")
    .addHelpText("after", "\nExample:\n  tripod csi snapshot list --volume vol-1")
    .action((options: SnapshotOptions) =>
      withDriver(options, async ({ controller }) => {
        const message = await allPages((page) =>
          controller.listSnapshots({ ...page, sourceVolumeId: options.volume ?? "", secrets: secretsOf(options) }),
        );
        const rows = message.entries.map(({ snapshot }) => row(snapshot));
        printReply(options, { schema: ListSnapshotsResponseSchema, message, text: () => columns([head, ...rows]) });
      }),
    );
  return new Command("snapshot")
    .description("Take, delete and list snapshots")
    .addCommand(create)
    .addCommand(remove)
    .addCommand(list);
}

/** `tripod csi group-snapshot create|delete`. */
export function groupSnapshotCommand(): Command {
  const create = withCallOptions(new Command("create"))
    .argument("<name>", "the group's name, by which a repeated call finds it")
    .argument("<volumes...>", "the ids of its sources")
    .option("--param <key=value>", "a parameter of the class; several times", keyValue)
    .description("Take snapshots of several volumes at one moment")
    .addHelpText("after", "\nExample:\n  tripod csi group-snapshot create nightly vol-1 vol-2")
    .action((name: string, sourceVolumeIds: string[], options: SnapshotOptions) =>
      withDriver(options, async ({ groupController }) => {
        const request = { name, sourceVolumeIds, parameters: options.param ?? {}, secrets: secretsOf(options) };
        const message = await groupController.createVolumeGroupSnapshot(request);
        const { groupSnapshot: group } = message;
        const text = (): string =>
          `group: ${group?.groupSnapshotId}\n${columns([head, ...(group?.snapshots ?? []).map(row)])}`;
        printReply(options, { schema: CreateVolumeGroupSnapshotResponseSchema, message, text });
      }),
    );
  const remove = withCallOptions(new Command("delete"))
    .argument("<group>", "its id")
    .argument("<snapshots...>", "the ids of its snapshots")
    .description("Delete a group with its snapshots")
    .addHelpText("after", "\nExample:\n  tripod csi group-snapshot delete group-1 snap-1 snap-2")
    .action((groupSnapshotId: string, snapshotIds: string[], options: CallOptions) =>
      withDriver(options, async ({ groupController }) => {
        await groupController.deleteVolumeGroupSnapshot({ groupSnapshotId, snapshotIds, secrets: secretsOf(options) });
      }),
    );
  return new Command("group-snapshot")
    .description("Snapshots of several volumes at one moment")
    .addCommand(create)
    .addCommand(remove);
}

/** `tripod csi metadata SNAPSHOT`: which parts of a snapshot hold data, or have changed since another. */
export function metadataCommand(): Command {
  return withCallOptions(new Command("metadata"))
    .argument("<snapshot>", "its id")
    .option("--base <snapshot>", "an older snapshot: only what has changed since")
    .option("--offset <bytes>", "from there on; all unless told", wholeNumber)
    .description("List the ranges of a snapshot that hold data, or that differ from another")
    .addHelpText("after", "\nExample:\n  tripod csi metadata snap-2 --base snap-1")
    .action((snapshotId: string, options: CallOptions & { readonly base?: string; readonly offset?: bigint }) =>
      withDriver(options, async ({ snapshotMetadata }) => {
        const common = { startingOffset: options.offset ?? 0n, secrets: secretsOf(options) };
        const stream =
          options.base === undefined
            ? snapshotMetadata.getMetadataAllocated({ ...common, snapshotId })
            : snapshotMetadata.getMetadataDelta({
                ...common,
                baseSnapshotId: options.base,
                targetSnapshotId: snapshotId,
              });
        for await (const { blockMetadata } of stream)
          for (const { byteOffset, sizeBytes } of blockMetadata)
            print(
              options.json
                ? JSON.stringify({ byteOffset: String(byteOffset), sizeBytes: String(sizeBytes) })
                : `${byteOffset} ${sizeBytes}`,
            );
      }),
    );
}
