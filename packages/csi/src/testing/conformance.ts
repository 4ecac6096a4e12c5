import { after, before, describe, test } from "node:test";
import { TripodError } from "@tripod/base";
import { blockSpecs } from "./block-specs.ts";
import { contentSpecs } from "./content-specs.ts";
import { DriverSuite, type DriverUnderTest, type Spec } from "./driver-suite.ts";
import { expansionSpecs } from "./expansion-specs.ts";
import { groupSpecs } from "./group-specs.ts";
import { healthSpecs } from "./health-specs.ts";
import { metadataSpecs } from "./metadata-specs.ts";
import { publishSpecs } from "./publish-specs.ts";
import { snapshotSpecs } from "./snapshot-specs.ts";
import { volumeSpecs } from "./volume-specs.ts";

const parts = [
  volumeSpecs,
  publishSpecs,
  blockSpecs,
  expansionSpecs,
  snapshotSpecs,
  contentSpecs,
  groupSpecs,
  metadataSpecs,
  healthSpecs,
];

/**
 * The conformance suite: registers tests with node:test that call a driver over its socket as the specification lets a Container Orchestrator do.
 * `start` is called once before them, `stop` after. Mounting needs the rights of root. Unlike csi-sanity it looks at what is in the volumes.
 */
export function testDriver(
  name: string,
  hooks: { readonly start: () => Promise<DriverUnderTest>; readonly stop?: () => Promise<void> },
): void {
  describe(`${name}: CSI conformance`, () => {
    let suite: DriverSuite | undefined;
    before(async () => {
      suite = await DriverSuite.open(await hooks.start());
    });
    after(async () => {
      await suite?.[Symbol.asyncDispose]();
      await hooks.stop?.();
    });
    const spec: Spec = (title, body) =>
      void test(title, async (context) => {
        if (suite === undefined) throw new TripodError("internal", `${name}: the driver did not start`);
        await body(suite, context);
      });
    for (const register of parts) register(spec);
  });
}
