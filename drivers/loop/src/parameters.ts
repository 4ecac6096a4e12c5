/** Of a StorageClass: whether the disk's space is taken up when it is written to (thin) or when the volume is made (thick). */
const allocations = ["thin", "thick"];

/** What is wrong with a StorageClass's parameters. */
export function refusedParameters(parameters: Readonly<Record<string, string>>): string | undefined {
  const { allocation, ...others } = parameters;
  const unknown = Object.keys(others);
  if (unknown.length > 0) return `parameters ${unknown.join(", ")} are unknown; known: allocation`;
  if (allocation !== undefined && !allocations.includes(allocation))
    return `parameter allocation is ${JSON.stringify(allocation)}, not one of ${allocations.join(", ")}`;
  return undefined;
}

/** The parameters that a VolumeAttributesClass may set, also of a volume in use. */
const mutable: Readonly<Record<string, readonly [pattern: RegExp, words: string]>> = {
  readAheadKb: [/^(0|[1-9]\d{0,4})$/, "a number of KiB from 0 to 99999"],
  directIo: [/^(true|false)$/, "true or false"],
};

/** What is wrong with a VolumeAttributesClass's parameters. */
export function refusedMutable(parameters: Readonly<Record<string, string>>): string | undefined {
  for (const [key, value] of Object.entries(parameters)) {
    const known = Object.hasOwn(mutable, key) ? mutable[key] : undefined;
    if (known === undefined) return `mutable parameter ${key} is unknown; known: ${Object.keys(mutable).join(", ")}`;
    if (!known[0].test(value)) return `mutable parameter ${key} is ${JSON.stringify(value)}, not ${known[1]}`;
  }
  return undefined;
}
