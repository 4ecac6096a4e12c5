/** For options that may be given several times: the values in their order. */
export const repeated = (value: string, before: string[] | undefined): string[] => [...(before ?? []), value];
