import { existsSync } from "node:fs";
import { isTripodError, type Layout, layoutOf, TripodError } from "@tripod/base";
import { events, KubeClient, persistentVolumeClaims, persistentVolumes, pods, volumeAttachments } from "@tripod/kube";
import { loopDevices, mountInfo } from "@tripod/linux";
import { Command } from "commander";
import { type VolumeLine, volumeText, volumeView } from "./volume-view.ts";

interface ShowOptions {
  readonly root?: string;
  readonly kubeconfig?: string;
  readonly namespace: string;
  readonly allNamespaces?: true;
  readonly json?: true;
}

/** `tripod volume show`: each claim with its volume, attachments, mounts and Pods, and what each waits for. */
export function volumeCommand(): Command {
  const show = new Command("show")
    .argument("[names...]", "pvc/NAME, pv/NAME or pod/NAME; all unless told")
    .description("Show claims with their volumes, attachments, mounts and Pods, and what each waits for")
    .option("--root <dir>", "the instance's folder")
    .option("--kubeconfig <file>", "another API server's credentials (default: this instance's own)")
    .option("-n, --namespace <namespace>", "the namespace of claims and Pods", "default")
    .option("-A, --all-namespaces", "those of every namespace")
    .option("--json", "print the picture as JSON")
    .addHelpText(
      "after",
      "\nExamples:\n  tripod volume show\n  tripod volume show pvc/data pod/web -n shop\n  tripod volume show -A --json",
    )
    .action(showVolumes);
  return new Command("volume").description("Look at claims, volumes and where they are mounted").addCommand(show);
}

async function showVolumes(names: readonly string[], options: ShowOptions): Promise<void> {
  const view = await lookAtVolumes(layoutOf(options.root), options);
  for (const name of names)
    if (!view.some((line) => holds(line, name)))
      throw new TripodError(
        "not-found",
        `volume show ${name}: there is no such claim, volume or Pod with a claim; try -A`,
      );
  const wanted = names.length === 0 ? view : view.filter((line) => names.some((name) => holds(line, name)));
  if (options.json) process.stdout.write(`${JSON.stringify(wanted, null, 2)}\n`);
  else if (wanted.length > 0) process.stdout.write(`${volumeText(wanted)}\n`);
  else
    process.stderr.write(
      options.allNamespaces
        ? "no claims and no volumes\n"
        : `no claims in ${options.namespace}, and no volumes; try -A\n`,
    );
}

async function lookAtVolumes(layout: Layout, options: ShowOptions): Promise<VolumeLine[]> {
  const start = `tripod up${options.root === undefined ? "" : ` --root ${options.root}`}`;
  if (options.kubeconfig === undefined && !existsSync(layout.kubeconfig))
    throw new TripodError(
      "not-found",
      `volume show: there is no node in ${layout.root ?? "/"}; ${start} brings one up`,
    );
  using client = KubeClient.fromKubeconfig(options.kubeconfig ?? layout.kubeconfig);
  const where = options.allNamespaces === true ? {} : { namespace: options.namespace };
  const [claims, volumes, attachments, users, told] = await Promise.all([
    client.resource(persistentVolumeClaims).list(where),
    client.resource(persistentVolumes).list(),
    client.resource(volumeAttachments).list(),
    client.resource(pods).list(where),
    client.resource(events).list(where),
  ]).catch((cause: unknown) => {
    if (options.kubeconfig !== undefined || !isTripodError(cause, "unavailable")) throw cause;
    throw new TripodError("unavailable", `volume show: ${cause.message}; ${start} starts the node again`, { cause });
  });
  return volumeView({
    claims: claims.items,
    volumes: volumes.items.filter(
      ({ spec: { claimRef } }) =>
        options.allNamespaces === true || claimRef === undefined || claimRef.namespace === options.namespace,
    ),
    attachments: attachments.items,
    pods: users.items,
    events: told.items,
    mounts: mountInfo(),
    loops: loopDevices(),
    kubeletDir: layout.kubeletDir,
  });
}

const kinds: Readonly<Record<string, VolumeLine["kind"]>> = { pvc: "claim", pv: "volume", pod: "pod" };

/** Whether the line, or one within it, is the named one: pvc/NAME, pv/NAME, pod/NAME. */
function holds(line: VolumeLine, wanted: string): boolean {
  const [kind = "", name = ""] = wanted.split("/");
  const known = Object.hasOwn(kinds, kind) ? kinds[kind] : undefined;
  if (known === undefined || name === "")
    throw new TripodError("invalid", `volume show ${wanted}: not pvc/NAME, pv/NAME or pod/NAME`);
  const isMeant = line.kind === known && (line.name === name || line.name.endsWith(`/${name}`));
  return isMeant || line.within.some((each) => holds(each, wanted));
}
