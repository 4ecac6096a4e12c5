import { TripodError } from "@tripod/base";

/** "vendor.com/class=name" taken apart. */
export interface CdiDeviceName {
  /** "vendor.com/class". */
  readonly kind: string;
  readonly name: string;
}

const kindPattern = /^[a-zA-Z](?:[a-zA-Z0-9._-]{0,251}[a-zA-Z0-9])?\/[a-zA-Z](?:[a-zA-Z0-9._-]{0,61}[a-zA-Z0-9])?$/;
const namePattern = /^[a-zA-Z0-9](?:[a-zA-Z0-9._:-]*[a-zA-Z0-9])?$/;

export const isCdiKind = (text: string): boolean => kindPattern.test(text);
export const isCdiName = (text: string): boolean => text.length <= 253 && namePattern.test(text);

/** The parts of a fully qualified device name; anything else is an "invalid" error (CDI specification, "Kind" and "CDI Devices"). */
export function parseCdiDevice(text: string): CdiDeviceName {
  const end = text.indexOf("=");
  const kind = text.slice(0, Math.max(end, 0));
  const name = text.slice(end + 1);
  if (end === -1 || !isCdiKind(kind) || !isCdiName(name)) {
    throw new TripodError("invalid", `CDI device ${JSON.stringify(text)}: it is not of the form VENDOR/CLASS=NAME`);
  }
  return { kind, name };
}

const annotationPrefix = "cdi.k8s.io/";
/** Of all such annotations of a container together; Kubernetes allows 256 KiB for everything. */
const maxAnnotationLength = 256 * 1024;

/** The devices that a container asks for: those of its own field, then those of annotations cdi.k8s.io/…, each once. */
export function cdiDevicesOf(request: {
  readonly devices: readonly string[];
  readonly annotations: Readonly<Record<string, string>>;
}): string[] {
  const values = Object.entries(request.annotations)
    .filter(([key]) => key.startsWith(annotationPrefix))
    .map(([, value]) => value);
  const length = values.reduce((sum, value) => sum + value.length, 0);
  if (length > maxAnnotationLength) {
    throw new TripodError(
      "invalid",
      `CDI devices: the annotations that name them are longer than ${maxAnnotationLength}`,
    );
  }
  const annotated = values.flatMap((value) => value.split(",").map((device) => device.trim()));
  return [...new Set([...request.devices, ...annotated])];
}
