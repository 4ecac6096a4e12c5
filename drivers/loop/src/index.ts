export { loopDriverName, type LoopOptions, loopTopologyKey, openLoopDriver } from "./loop-driver.ts";
