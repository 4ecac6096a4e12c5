import assert from "node:assert/strict";
import { test } from "node:test";
import { parseChallenges } from "../registry/challenge.ts";
import { retryAfterMs } from "../registry/retry.ts";
import { chainIdsOf, parseImageConfig } from "./image-config.ts";
import { chooseManifest, parseManifest } from "./manifest.ts";
import { parsePlatform } from "./platform.ts";

const digest = (letter: string): string => `sha256:${letter.repeat(64)}`;
const descriptor = (letter: string, more: object = {}): object => ({
  mediaType: "application/vnd.oci.image.manifest.v1+json",
  digest: digest(letter),
  size: 3,
  ...more,
});
const bytes = (value: unknown): Buffer => Buffer.from(typeof value === "string" ? value : JSON.stringify(value));

test("manifests that are not what they should be are refused", () => {
  for (const [value, why] of [
    ["{", /not valid JSON/],
    ["[]", /must be an object/],
    [{ schemaVersion: 1, fsLayers: [] }, /schema 1/],
    [{ schemaVersion: 2 }, /config: must be an object/],
    [{ schemaVersion: 2, config: descriptor("a", { size: -1 }) }, /is not a size/],
    [{ schemaVersion: 2, config: descriptor("a", { size: 1e300 }) }, /is not a size/],
    [{ schemaVersion: 2, config: descriptor("A") }, /is not a sha256 digest/],
    [{ schemaVersion: 2, config: descriptor("a"), layers: Array(501).fill(descriptor("b")) }, /at most 500/],
    [{ schemaVersion: 2, config: descriptor("a"), layers: [], manifests: [] }, /manifest and an index at once/],
    [
      { schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", config: descriptor("a") },
      /is not what its media type/,
    ],
  ] as const) {
    assert.throws(() => parseManifest(bytes(value), "m"), { message: why });
  }
});

test("the best platform of an index is chosen", () => {
  const entry = (letter: string, text: string): object => {
    const { os, architecture, variant } = parsePlatform(text);
    return descriptor(letter, { platform: { os, architecture, variant } });
  };
  const index = parseManifest(
    bytes({
      schemaVersion: 2,
      manifests: [
        descriptor("0", { platform: { os: "unknown", architecture: "unknown" } }),
        entry("1", "linux/arm/v5"),
        entry("2", "linux/arm/v7"),
        entry("3", "linux/arm64/v8"),
        entry("4", "linux/amd64"),
        entry("5", "linux/amd64/v3"),
        entry("6", "windows/amd64"),
      ],
    }),
    "i",
  );
  assert.ok(index.kind === "index");
  for (const [wanted, chosen] of [
    ["linux/amd64", "4"],
    ["linux/amd64/v3", "5"],
    ["linux/amd64/v2", "4"],
    ["linux/arm64", "3"],
    ["linux/arm/v7", "2"],
    ["linux/arm/v6", "1"],
  ] as const) {
    assert.equal(chooseManifest(index, parsePlatform(wanted), "i").digest, digest(chosen), wanted);
  }
  assert.throws(() => chooseManifest(index, parsePlatform("linux/riscv64"), "i"), { code: "not-found" });
});

test("of several versions and features of a system the ones that are asked for are chosen", () => {
  const entry = (letter: string, platform: object): object =>
    descriptor(letter, { platform: { os: "windows", architecture: "amd64", ...platform } });
  const index = parseManifest(
    bytes({
      schemaVersion: 2,
      manifests: [
        entry("1", { "os.version": "10.0.17763.1", "os.features": ["win32k"] }),
        entry("2", { "os.version": "10.0.17763.1" }),
        entry("3", { "os.version": "10.0.17763.9" }),
        entry("4", { "os.version": "10.0.20348.1" }),
        entry("5", { "os.features": ["win32k", "x"], variant: "v2" }),
      ],
    }),
    "i",
  );
  assert.ok(index.kind === "index");
  for (const [wanted, chosen] of [
    ["windows/amd64", "2"],
    ["windows(10.0.17763.9)/amd64", "3"],
    ["windows(10.0.20348.7)/amd64", "4"],
    ["windows(10.0.17763.1+win32k)/amd64", "1"],
    ["windows(+win32k+x)/amd64/v2", "5"],
  ] as const) {
    assert.equal(chooseManifest(index, parsePlatform(wanted), "i").digest, digest(chosen), wanted);
  }
  for (const wrong of ["linux", "linux/", "/amd64", "linux/arm/v7/x", "Linux/amd64", "windows(/amd64", "a b/c"])
    assert.throws(() => parsePlatform(wrong), { code: "invalid", message: /must look like/ }, wrong);
  assert.throws(
    () => parseManifest(bytes({ schemaVersion: 2, manifests: [entry("1", { "os.features": "x" })] }), "i"),
    {
      message: /os\.features: must be an array/,
    },
  );
});

test("configs are checked; chain ids follow the specification", () => {
  const config = {
    architecture: "amd64",
    os: "linux",
    rootfs: { type: "layers", diff_ids: [digest("a"), digest("b")] },
  };
  assert.equal(
    parseImageConfig(bytes({ ...config, config: { Env: null, Cmd: ["x"], Volumes: { "/v": null } } }), "c").config
      ?.Cmd?.[0],
    "x",
  );
  for (const [value, why] of [
    [{ ...config, rootfs: { type: "dirs", diff_ids: [] } }, /rootfs.type/],
    [{ ...config, config: { Env: [1] } }, /Env\[0\]: must be a string/],
    [{ ...config, config: { Labels: { a: 1 } } }, /Labels.a/],
  ] as const) {
    assert.throws(() => parseImageConfig(bytes(value), "c"), { message: why });
  }
  // printf 'sha256:aa… sha256:bb…' | sha256sum
  assert.deepEqual(chainIdsOf(parseImageConfig(bytes(config), "c").rootfs.diff_ids), [
    digest("a"),
    "sha256:ccd722928bd92476ba1745586fed6e45a102504185ad88cd89e01ff116fd146c",
  ]);
  assert.deepEqual(chainIdsOf([]), []);
});

test("challenges and Retry-After are read as servers write them", () => {
  assert.deepEqual(
    parseChallenges('Bearer realm="https://a/t",service="s, \\"q\\"",scope="repository:x:pull,push", Basic realm=b'),
    [
      { scheme: "bearer", parameters: { realm: "https://a/t", service: 's, "q"', scope: "repository:x:pull,push" } },
      { scheme: "basic", parameters: { realm: "b" } },
    ],
  );
  assert.deepEqual(parseChallenges("Negotiate"), [{ scheme: "negotiate", parameters: {} }]);
  assert.deepEqual(parseChallenges('"'), []);
  const now = Date.parse("2026-01-01T00:00:00Z");
  for (const [header, wait] of [
    ["2", 2000],
    ["99999", 30_000],
    ["Thu, 01 Jan 2026 00:00:05 GMT", 5000],
    ["soon", undefined],
    [undefined, undefined],
  ] as const) {
    assert.equal(retryAfterMs(header, now), wait);
  }
});
