import { quantityMilliValue, quantityValue } from "@tripod/api/kubernetes";

/** A cpu quantity in thousandths of a core, rounded up; undefined when absent. */
export const milliOf = (quantity: string | number | undefined): number | undefined =>
  quantity === undefined ? undefined : Number(quantityMilliValue(quantity));

/** A quantity in whole bytes (or pieces), rounded up; undefined when absent. */
export const bytesOf = (quantity: string | number | undefined): number | undefined =>
  quantity === undefined ? undefined : Number(quantityValue(quantity));
