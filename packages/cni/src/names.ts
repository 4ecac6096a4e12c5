import { CniError, cniCodes } from "./cni-error.ts";

const identifier = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

/** Throws CNI code 4 unless `id` is a container id as the specification has it. */
export function checkContainerId(id: string): void {
  if (!identifier.test(id) || id.length > 253) {
    throw new CniError(
      cniCodes.invalidEnvironment,
      `container id ${JSON.stringify(id.slice(0, 80))}: must start with a letter or digit, go on with those, _ . and -, and have at most 253 characters`,
    );
  }
}

/** Throws CNI code 7 unless `name` is a network name as the specification has it. */
export function checkNetworkName(name: string): void {
  if (!identifier.test(name) || name.length > 200) {
    throw new CniError(
      cniCodes.invalidConfig,
      `network name ${JSON.stringify(name.slice(0, 80))}: must start with a letter or digit, go on with those, _ . and -, and have at most 200 characters`,
    );
  }
}

/** Throws CNI code 4 unless `name` is one that the kernel takes for an interface. */
export function checkInterfaceName(name: string): void {
  if (name === "" || Buffer.byteLength(name) > 15 || name === "." || name === ".." || /[/:\s\0]/.test(name)) {
    throw new CniError(
      cniCodes.invalidEnvironment,
      `interface name ${JSON.stringify(name.slice(0, 80))}: must have 1 to 15 bytes without "/", ":" or space, and be neither "." nor ".."`,
    );
  }
}
