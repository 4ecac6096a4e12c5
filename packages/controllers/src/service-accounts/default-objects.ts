import type { Namespace, Stored } from "@tripod/api/kubernetes";
import { codeOf } from "@tripod/base";
import { configMaps, serviceAccounts, WorkQueue } from "@tripod/kube";
import type { ControllerContext } from "../context.ts";
import { rootCertificateName } from "../world.ts";

const accountName = "default";
const certificateKey = "ca.crt";

/** Keeps in every namespace the service account "default" and the certificate by which Pods know the API server. */
export class DefaultObjects implements AsyncDisposable {
  readonly #context: ControllerContext;
  readonly #queue: WorkQueue;
  readonly #stack = new DisposableStack();

  constructor(context: ControllerContext) {
    this.#context = context;
    const { world, log } = context;
    this.#queue = new WorkQueue({ name: "default objects", log }, (name) => this.#sync(name));
    const look = (namespace: Stored<Namespace>): void => this.#queue.add(namespace.metadata.name);
    this.#stack.defer(world.namespaces.on({ added: look, updated: look }));
    const lookAround = (object: { metadata: { namespace?: string } }): void =>
      this.#queue.add(object.metadata.namespace ?? "");
    this.#stack.defer(world.serviceAccounts.on({ deleted: lookAround }));
    this.#stack.defer(world.rootCertificates.on({ updated: lookAround, deleted: lookAround }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stack.dispose();
    await this.#queue.close();
  }

  async #sync(name: string): Promise<void> {
    const { world, client } = this.#context;
    const namespace = world.namespaces.get(name);
    if (namespace === undefined || namespace.metadata.deletionTimestamp !== undefined) return;
    if (world.serviceAccounts.get(`${name}/${accountName}`) === undefined)
      await unlessThere(client.resource(serviceAccounts).create({ metadata: { name: accountName, namespace: name } }));
    const { ca } = client.config;
    if (ca === undefined) return;
    const known = world.rootCertificates.get(`${name}/${rootCertificateName}`);
    const data = { [certificateKey]: ca };
    if (known === undefined)
      await unlessThere(
        client.resource(configMaps).create({ metadata: { name: rootCertificateName, namespace: name }, data }),
      );
    else if (known.data?.[certificateKey] !== ca)
      await client.resource(configMaps).patch(rootCertificateName, { data }, { namespace: name });
  }
}

/** What is there already, and a namespace that goes meanwhile, are no failures. */
async function unlessThere(creation: Promise<unknown>): Promise<void> {
  try {
    await creation;
  } catch (error) {
    const code = codeOf(error);
    if (code !== "already-exists" && code !== "not-found" && code !== "permission-denied") throw error;
  }
}
