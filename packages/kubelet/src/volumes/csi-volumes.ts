import type { Pod } from "@tripod/api/kubernetes";
import { messageOf } from "@tripod/base";
import { uidOf } from "../pods/pod-facts.ts";
import { CsiGrowth } from "./csi-growth.ts";
import { type CsiContext, type CsiPublication, volumeKey } from "./csi-publication.ts";
import { setUpCsiVolume } from "./csi-set-up.ts";
import type { CsiVolume } from "./csi-spec.ts";
import type { MountedVolume } from "./mounted-volume.ts";
import type { VolumesInUse } from "./volumes-in-use.ts";

/** The CSI volumes that stand ready for Pods of this node: made so, and kept up to date while they are used. */
export class CsiVolumes {
  readonly #context: CsiContext;
  readonly #inUse: VolumesInUse;
  readonly #republishMs: number;
  readonly #growth: CsiGrowth;
  /** By Pod and name of the volume in it. */
  readonly #ready = new Map<string, Map<string, CsiPublication>>();

  constructor(context: CsiContext, options: { readonly inUse: VolumesInUse; readonly republishMs: number }) {
    this.#context = context;
    this.#inUse = options.inUse;
    this.#republishMs = options.republishMs;
    this.#growth = new CsiGrowth(context);
  }

  /** Everything that stands ready. */
  list(): CsiPublication[] {
    return [...this.#ready.values()].flatMap((volumes) => [...volumes.values()]);
  }

  /** Attaches, stages, publishes and grows the volume, whatever of it is needed. */
  async open(pod: Pod, volumeName: string, volume: CsiVolume, signal: AbortSignal): Promise<MountedVolume> {
    const publication = await this.#publish({ pod, volumeName, volume }, signal);
    await this.#growth.grow(pod, publication, signal);
    const { targetPath } = publication;
    return volume.block
      ? { kind: "device", devicePath: targetPath, readOnly: volume.readOnly }
      : { kind: "folder", hostPath: targetPath, readOnly: volume.readOnly };
  }

  /** Keeps a volume in use up to date: grows it, and publishes it again for a driver that wants that. Failures are Events. */
  async refresh(pod: Pod, volumeName: string, signal: AbortSignal): Promise<void> {
    const found = this.#ready.get(uidOf(pod))?.get(volumeName);
    if (found === undefined) return;
    await this.#growth.growInUse(pod, found, signal);
    if (!found.republish || found.publishedAtMs + this.#republishMs > Date.now()) return;
    try {
      await this.#publish({ pod, volumeName, volume: found.volume, again: found }, signal);
    } catch (error) {
      if (signal.aborted) throw error;
      // The Pod goes on with what it has.
      this.#note({ ...found, publishedAtMs: Date.now() });
      const message = `MountVolume.SetUp failed for volume "${volumeName}" : ${messageOf(error)}`;
      this.#context.events.warning(pod, "FailedMount", message);
    }
  }

  /** When the Pod's volumes want to be looked at again, in Unix ms; undefined when they do not. */
  lookAgainAtMs(podUid: string): number | undefined {
    const times = [...(this.#ready.get(podUid)?.values() ?? [])].flatMap(({ volume, republish, publishedAtMs }) => [
      ...(republish ? [publishedAtMs + this.#republishMs] : []),
      this.#growth.retryAtMs(volumeKey(volume)) ?? Number.POSITIVE_INFINITY,
    ]);
    const first = Math.min(...times);
    return first === Number.POSITIVE_INFINITY ? undefined : first;
  }

  /** The Pod's volumes are about to be taken down. */
  forget(podUid: string): void {
    const gone = [...(this.#ready.get(podUid)?.values() ?? [])].map(({ volume }) => volumeKey(volume));
    this.#ready.delete(podUid);
    const kept = new Set(this.list().map(({ volume }) => volumeKey(volume)));
    for (const key of gone) if (!kept.has(key)) this.#growth.forget(key);
  }

  async #publish(what: Parameters<typeof setUpCsiVolume>[0], signal: AbortSignal): Promise<CsiPublication> {
    const announceInUse = ({ driver, handle }: CsiVolume) => this.#inUse.add(uidOf(what.pod), driver, handle);
    const publication = await setUpCsiVolume(what, { ...this.#context, announceInUse }, signal);
    this.#note(publication);
    return publication;
  }

  #note(publication: CsiPublication): void {
    const uid = uidOf(publication.pod);
    const ready = this.#ready.get(uid) ?? new Map<string, CsiPublication>();
    this.#ready.set(uid, ready.set(publication.volumeName, publication));
  }
}
