import { apiVersionOf, type KubernetesObject } from "@tripod/api/kubernetes";
import type { StoredValue } from "../storage/storage.ts";
import type { Resource } from "./resource.ts";

/** How a resource's objects are typed and converted; the part of a Resource that reading needs. */
export type ObjectForm = Pick<Resource, "group" | "version" | "kind" | "conversion">;

const metadataStart = '{"metadata":{';

/** The text that the store keeps of an object: metadata first, without kind, apiVersion and resourceVersion. */
export function toStoredText(object: KubernetesObject): string {
  const { metadata, kind: _kind, apiVersion: _apiVersion, ...rest } = object;
  const { resourceVersion: _resourceVersion, ...kept } = metadata;
  return JSON.stringify({ metadata: kept, ...rest });
}

/** One object at one revision, parsed once and only when asked. What it returns is shared by everybody: never change it. */
export class StoredObject<T extends KubernetesObject = KubernetesObject> {
  readonly key: string;
  readonly revision: number;
  readonly #text: string;
  readonly #form: ObjectForm;
  #object: T | undefined;

  /** `revision`: what resourceVersion shows; that of the value unless told (a deleted object shows the deletion's). */
  constructor(form: ObjectForm, stored: StoredValue, revision = stored.revision) {
    this.key = stored.key;
    this.revision = revision;
    this.#text = stored.value;
    this.#form = form;
  }

  /** In the resource's version, with kind, apiVersion and resourceVersion. */
  get object(): T {
    this.#object ??= this.#parse();
    return this.#object;
  }

  /** The object as JSON text: what is stored, with its head put on. */
  get json(): string {
    if (this.#form.conversion !== undefined || !this.#text.startsWith(metadataStart))
      return JSON.stringify(this.object);
    const { kind, apiVersion } = this.#head();
    const rest = this.#text.slice(metadataStart.length);
    return `{"kind":"${kind}","apiVersion":"${apiVersion}","metadata":{"resourceVersion":"${this.revision}",${rest}`;
  }

  #head(): { kind: string; apiVersion: string } {
    return { kind: this.#form.kind, apiVersion: apiVersionOf(this.#form) };
  }

  #parse(): T {
    const parsed = JSON.parse(this.#text) as KubernetesObject; // toStoredText() wrote it
    const object = { ...this.#head(), ...parsed };
    object.metadata.resourceVersion = String(this.revision);
    const converted = this.#form.conversion?.fromStored(object) ?? object;
    return converted as T; // the key's prefix says which resource it is
  }
}
