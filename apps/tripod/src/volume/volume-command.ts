import { layoutOf, TripodError } from "@tripod/base";
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
  const layout = layoutOf(options.root);
  using client = KubeClient.fromKubeconfig(options.kubeconfig ?? layout.kubeconfig);
  const where = options.allNamespaces === true ? {} : { namespace: options.namespace };
  const [claims, volumes, attachments, users, told] = await Promise.all([
    client.resource(persistentVolumeClaims).list(where),
    client.resource(persistentVolumes).list(),
    client.resource(volumeAttachments).list(),
    client.resource(pods).list(where),
    client.resource(events).list(where),
  ]);
  const view = volumeView({
    claims: claims.items,
    volumes: volumes.items,
    attachments: attachments.items,
    pods: users.items,
    events: told.items,
    mounts: mountInfo(),
    loops: loopDevices(),
    kubeletDir: layout.kubeletDir,
  });
  const wanted = names.length === 0 ? view : view.filter((line) => names.some((name) => holds(line, name)));
  if (names.length > 0 && wanted.length === 0)
    throw new TripodError(
      "not-found",
      `volume show ${names.join(" ")}: there is no such claim, volume or Pod with a claim; try -A`,
    );
  if (options.json) process.stdout.write(`${JSON.stringify(wanted, null, 2)}\n`);
  else if (wanted.length > 0) process.stdout.write(`${volumeText(wanted)}\n`);
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
