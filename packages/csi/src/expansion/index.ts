export { type ConditionChange, type ConditionChanges, noGrowth, withConditions } from "./claim-conditions.ts";
export {
  type ClaimGrowth,
  claimGrowth,
  isFinalFailure,
  isInfeasible,
  nodeExpansionNotRequired,
  preResizeCapacity,
} from "./claim-growth.ts";
