import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  CgroupDriver,
  ImageService,
  LinuxSandboxSecurityContextSchema,
  NamespaceMode,
  type NamespaceOption,
  NamespaceOptionSchema,
  type PodSandboxConfigSchema,
  RuntimeService,
} from "@tripod/api/cri";
import { type Client, GrpcChannel } from "@tripod/grpc";
import { createCgroup, killCgroup, removeCgroup } from "@tripod/linux";

/** Fields of a sandbox's configuration, as a plain object. */
export type SandboxInit = Omit<MessageInitShape<typeof PodSandboxConfigSchema>, "$typeName" | "$unknown">;

/** A sandbox and the configuration that it was made of. */
export interface Sandbox {
  readonly id: string;
  readonly config: SandboxInit;
}

/** What a run of the suite is told: nothing but these. */
export interface Target {
  /** Path of the runtime's unix socket. */
  readonly socket: string;
  /** "HOST:PORT" of the registry that pushImages() has filled. */
  readonly registry: string;
  /** A folder for logs, mounts and the like, on the machine of the runtime. */
  readonly folder: string;
  /** The runtime handler that sandboxes name; none unless told. */
  readonly handler?: string;
}

/**
 * The interface's own default is one PID namespace for all containers of a sandbox; kubelets ask for one each, and so do the specs that are
 * about something else.
 */
export const ownPid = (): NamespaceOption => create(NamespaceOptionSchema, { pid: NamespaceMode.CONTAINER });

let serial = 0;

/** One run of the suite against one runtime: its connection, and the sandbox that most specs share. */
export class Session implements AsyncDisposable {
  readonly target: Target;
  readonly runtime: Client<typeof RuntimeService>;
  readonly images: Client<typeof ImageService>;
  /** "r3f2a" — begins the name of everything that this run makes. */
  readonly id: string;
  readonly #channel: GrpcChannel;
  #pod: Promise<Sandbox> | undefined;
  #driver: Promise<CgroupDriver> | undefined;
  readonly #pulled = new Map<string, Promise<string>>();

  constructor(target: Target) {
    this.target = target;
    this.id = `r${process.pid.toString(36)}${Date.now().toString(36).slice(-5)}`;
    this.#channel = new GrpcChannel({ socket: target.socket, maxReceiveBytes: 64 << 20, traced: () => false });
    this.runtime = this.#channel.client(RuntimeService);
    this.images = this.#channel.client(ImageService);
    mkdirSync(target.folder, { recursive: true });
  }

  /** A name that nothing else of the run has. */
  unique(word: string): string {
    serial += 1;
    return `${word}-${this.id}-${serial}`;
  }

  /** The name of one of the suite's images in the registry. */
  imageName(name: string): string {
    return `${this.target.registry}/conformance/${name}`;
  }

  /**
   * A cgroup for one sandbox, made as the kubelet makes it beforehand, in the notation of the runtime's driver. On the machine's side it
   * lies below one of this run's own, which goes at the end.
   */
  async cgroupParent(): Promise<string> {
    this.#driver ??= this.runtime.runtimeConfig({}).then(
      ({ linux }) => linux?.cgroupDriver ?? CgroupDriver.CGROUPFS,
      () => CgroupDriver.CGROUPFS, // a runtime that does not tell has the older one
    );
    if ((await this.#driver) === CgroupDriver.SYSTEMD) return "";
    const path = join(this.#cgroup, this.unique("pod"));
    createCgroup(path);
    return path;
  }

  get #cgroup(): string {
    return `/tripod-conformance-${this.id}`;
  }

  /** The configuration of a plain sandbox, as a kubelet would send it. */
  async sandboxConfig(change: SandboxInit = {}): Promise<SandboxInit> {
    const name = this.unique("pod");
    const logDirectory = join(this.target.folder, "logs", name);
    mkdirSync(logDirectory, { recursive: true });
    const { linux, ...others } = change;
    const securityContext = create(LinuxSandboxSecurityContextSchema, linux?.securityContext);
    const options = (securityContext.namespaceOptions ??= ownPid());
    return {
      metadata: { name, namespace: "conformance", uid: name, attempt: 0 },
      hostname: options.network === NamespaceMode.NODE ? "" : "conformance",
      logDirectory,
      ...others,
      linux: { cgroupParent: await this.cgroupParent(), ...linux, securityContext },
    };
  }

  /** The reference of one of the suite's images, pulled when the first spec asks for it. Specs that remove images use World.pull(). */
  image(name: string): Promise<string> {
    const pulled =
      this.#pulled.get(name) ??
      this.images.pullImage({ image: { image: this.imageName(name) } }).then(({ imageRef }) => imageRef);
    this.#pulled.set(name, pulled);
    return pulled;
  }

  /** A plain sandbox that specs share which change nothing in it. */
  pod(): Promise<Sandbox> {
    this.#pod ??= this.#makePod();
    return this.#pod;
  }

  async #makePod(): Promise<Sandbox> {
    const config = await this.sandboxConfig({ hostname: "shared" });
    const request = { config, runtimeHandler: this.target.handler ?? "" };
    return { id: (await this.runtime.runPodSandbox(request)).podSandboxId, config };
  }

  /** Removes what is left of the run: the shared sandbox, and those of specs that were given up. */
  async [Symbol.asyncDispose](): Promise<void> {
    const { items } = await this.runtime.listPodSandbox({});
    for (const { id, metadata } of items) {
      if (metadata?.name.includes(this.id) !== true) continue;
      await this.runtime.stopPodSandbox({ podSandboxId: id });
      await this.runtime.removePodSandbox({ podSandboxId: id });
    }
    this.#channel[Symbol.dispose]();
    await killCgroup(this.#cgroup);
    await removeCgroup(this.#cgroup);
  }
}
