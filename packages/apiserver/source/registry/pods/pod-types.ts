import type { Pod } from "@tripod/api/kubernetes";
import type { ApiObject } from "../api-object.ts";

/** The object as a Pod: decoding has checked the types of its fields, not that required ones are there. */
export const asPod = (object: ApiObject): Pod & ApiObject => object as Pod & ApiObject;
