import { parseQuantity } from "@tripod/api/kubernetes";

/** A cpu quantity in thousandths of a core; undefined when absent. */
export function milliOf(quantity: string | number | undefined): number | undefined {
  return quantity === undefined ? undefined : Math.ceil(Number(parseQuantity(String(quantity))) * 1000);
}

/** A quantity in bytes (or pieces); undefined when absent. */
export function bytesOf(quantity: string | number | undefined): number | undefined {
  return quantity === undefined ? undefined : Math.ceil(Number(parseQuantity(String(quantity))));
}
