/** Whether all wanted labels are there with the wanted values. */
export const labelsMatch = (
  labels: Readonly<Record<string, string>>,
  wanted: Readonly<Record<string, string>> | undefined,
): boolean => Object.entries(wanted ?? {}).every(([key, value]) => labels[key] === value);

/** Whether `id` is, or starts with, what was asked; "" asks for nothing. */
export const idMatches = (id: string, wanted: string | undefined): boolean => id.startsWith(wanted ?? "");
