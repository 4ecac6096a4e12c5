import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { silentLogger } from "@tripod/base";
import { startRegistry, tempRoot, type TempRoot, type TestRegistry } from "@tripod/testing";
import { type Digest, digestOf } from "../digest.ts";
import { Images } from "../images.ts";
import { type MemoryImage, memoryImage } from "../registry/misbehaving-registry.ts";
import { putBlob, putManifest } from "../registry/testing/put-content.ts";
import { signatureKey, signatureLayerType, signatureTag } from "./fetch-signatures.ts";

const keys = {
  "ECDSA P-256": generateKeyPairSync("ec", { namedCurve: "P-256" }),
  "RSA 2048": generateKeyPairSync("rsa", { modulusLength: 2048 }),
  Ed25519: generateKeyPairSync("ed25519"),
} as const;
const signer = keys["ECDSA P-256"];
const pemOf = (key: KeyObject): string =>
  key.export({ type: key.type === "private" ? "pkcs8" : "spki", format: "pem" }).toString();

const owned = new AsyncDisposableStack();
const image = memoryImage(1000);
let registry: TestRegistry;
before(async () => {
  registry = owned.use(await startRegistry());
});
after(() => owned.disposeAsync());

async function put(repository: string, { layer, config, manifest }: MemoryImage = image): Promise<string> {
  const base = `http://${registry.host}`;
  for (const bytes of [layer, config]) await putBlob(base, { repository, bytes: Buffer.from(bytes) });
  await putManifest(base, { repository, tag: "1", manifest: JSON.parse(manifest.toString()) });
  return `${registry.host}/${repository}:1`;
}

interface Node extends AsyncDisposable {
  readonly images: Images;
  readonly root: TempRoot;
  /** Writes the policy: these requirements for our registry, nothing else is let in. */
  policy(...requirements: object[]): void;
}

async function startNode(): Promise<Node> {
  const stack = new AsyncDisposableStack();
  const root = stack.use(tempRoot());
  const { etcDir } = root.layout;
  mkdirSync(etcDir, { recursive: true });
  writeFileSync(join(etcDir, "key.pub"), pemOf(signer.publicKey));
  const images = stack.use(await Images.open({ layout: root.layout, log: silentLogger }));
  return {
    images,
    root,
    policy(...requirements) {
      const policy = { default: [{ type: "reject" }], transports: { docker: { [registry.host]: requirements } } };
      writeFileSync(join(etcDir, "policy.json"), JSON.stringify(policy));
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** Puts what we would never sign beside an image. */
async function putSignature(
  repository: string,
  on: Digest,
  { payload, key }: { readonly payload: string; readonly key: KeyObject },
): Promise<void> {
  const base = `http://${registry.host}`;
  const [config, bytes] = [Buffer.from("{}"), Buffer.from(payload)];
  for (const blob of [config, bytes]) await putBlob(base, { repository, bytes: blob });
  await putManifest(base, {
    repository,
    tag: signatureTag(on),
    manifest: {
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      config: { mediaType: "application/vnd.oci.image.config.v1+json", digest: digestOf(config), size: config.length },
      layers: [
        {
          mediaType: signatureLayerType,
          digest: digestOf(bytes),
          size: bytes.length,
          annotations: { [signatureKey]: sign("sha256", bytes, key).toString("base64") },
        },
      ],
    } as { readonly mediaType: string },
  });
}

const claim = (reference: string, digest: string, type = "cosign container image signature"): string =>
  JSON.stringify({
    critical: { identity: { "docker-reference": reference }, image: { "docker-manifest-digest": digest }, type },
  });

const signed = { type: "sigstoreSigned", keyPath: "key.pub" };
const refused = (message: RegExp) => ({
  code: "permission-denied" as const,
  message,
  detail: { reason: "SignatureValidationFailed" },
});

for (const [kind, { publicKey, privateKey }] of Object.entries(keys)) {
  test(`an image is let in by a signature of the policy's key alone: ${kind}`, async () => {
    await using node = await startNode();
    const name = await put(`kinds/${kind.toLowerCase().replaceAll(/[^a-z0-9]/g, "")}`);
    node.policy({ type: "sigstoreSigned", keyData: Buffer.from(pemOf(publicKey)).toString("base64") });
    await assert.rejects(node.images.pull(name), refused(/has no signature/));
    await node.images.sign(name, { key: pemOf(generateKeyPairSync("ed25519").privateKey) });
    await assert.rejects(node.images.pull(name), refused(/none of the policy's keys/));
    assert.deepEqual(node.images.list(), []);
    const done = await node.images.sign(name, { key: pemOf(privateKey) });
    assert.equal(done, `${name.slice(0, -2)}@${image.manifestDigest}`);
    const pulled = await node.images.pull(name);
    assert.deepEqual(pulled.repoDigests, [done], "what was signed is what is pulled");
  });
}

test("a signature about another image, another name or of another kind does not count", async () => {
  await using node = await startNode();
  node.policy(signed);
  const repository = "claims/app";
  const name = await put(repository);
  const other = memoryImage(1000, 7).manifestDigest;
  const { manifestDigest } = image;
  const bare = name.slice(0, -2);
  for (const [payload, why] of [
    [claim(name, other), /about another image/],
    [claim(`${bare}:2`, manifestDigest), /it is about .*:2, not .*:1/],
    [claim("registry.example/app:1", manifestDigest), /it is about registry\.example\/app:1, not/],
    [claim(bare, manifestDigest), /as cosign signs.*"matchRepository"/],
    [claim(name, manifestDigest, "atomic container signature"), /of the type "atomic container signature"/],
    [claim(name, "sha512:00"), /names no digest/],
    ["not json", /not valid JSON/],
  ] as const) {
    await putSignature(repository, manifestDigest, { payload, key: signer.privateKey });
    await assert.rejects(node.images.pull(name), refused(why));
  }
  // One that the key did not make, though it says everything right.
  await putSignature(repository, manifestDigest, {
    payload: claim(name, manifestDigest),
    key: keys["RSA 2048"].privateKey,
  });
  await assert.rejects(node.images.pull(name), refused(/none of the policy's keys/));
  await putSignature(repository, manifestDigest, { payload: claim(bare, manifestDigest), key: signer.privateKey });
  node.policy({ ...signed, signedIdentity: { type: "matchRepository" } });
  await node.images.pull(name);
});

test("an image that is here is asked about again when a container is made of it, by the signatures it came with", async () => {
  await using node = await startNode();
  const name = await put("present/app");
  const { id } = await node.images.pull(name);
  node.policy(signed);
  await assert.rejects(node.images.prepareRootfs("c0", id), refused(/has no signature.*pull it again/));
  await node.images.sign(name, { key: pemOf(signer.privateKey) });
  await node.images.pull(name);
  await node.images.prepareRootfs("c1", id);
  node.policy({ ...signed, signedIdentity: { type: "exactReference", dockerReference: "registry.example/other:1" } });
  await assert.rejects(node.images.prepareRootfs("c2", id), refused(/it is about/));
  await node.images.prepareRootfs("c1", id); // a container that is there is not stopped
  node.policy({ type: "reject" });
  await assert.rejects(node.images.prepareRootfs("c2", id), refused(/it is rejected/));
  node.policy(signed);
  await node.images.prepareRootfs("c2", id);
  for (const container of ["c1", "c2"]) await node.images.removeRootfs(container);
});

test("the signature on an index holds for the images that are pulled through it", async () => {
  await using node = await startNode();
  const repository = "index/app";
  await put(repository);
  const index = {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.index.v1+json",
    manifests: [
      {
        mediaType: "application/vnd.oci.image.manifest.v1+json",
        digest: image.manifestDigest,
        size: image.manifest.length,
        platform: { os: "linux", architecture: "amd64" },
      },
    ],
  };
  await putManifest(`http://${registry.host}`, { repository, tag: "multi", manifest: index });
  const multi = `${registry.host}/${repository}:multi`;
  await node.images.sign(multi, { key: pemOf(signer.privateKey) });
  node.policy(signed);
  await node.images.pull(multi, { platform: "linux/amd64" });
  await assert.rejects(node.images.pull(`${registry.host}/${repository}:1`), refused(/has no signature/));
});

test("a policy that cannot be read lets nothing in, and says why", async () => {
  await using node = await startNode();
  const write = (text: string): void => writeFileSync(join(node.root.layout.etcDir, "policy.json"), text);
  const reject = { type: "reject" };
  for (const [policy, message] of [
    ["{", /policy\.json: not valid JSON/],
    [{}, /default: must be a list of at least one requirement/],
    [{ default: [] }, /must be a list of at least one/],
    [{ default: [reject], transport: {} }, /"transport" is not known here/],
    [{ default: [{ type: "reject", keyPath: "x" }] }, /"keyPath" is not known here/],
    [{ default: [{ type: "sigstoreSigned" }] }, /must have one of keyPath, keyPaths, keyData, keyDatas/],
    [{ default: [{ ...signed, keyData: "eA==" }] }, /must have one of/],
    [{ default: [{ type: "sigstoreSigned", keyPath: "none.pub" }] }, /cannot use .*none\.pub: ENOENT/],
    [{ default: [{ type: "sigstoreSigned", keyData: "eA==" }] }, /is not base64 of a public key in PEM/],
    [{ default: [{ ...signed, signedIdentity: { type: "any" } }] }, /signedIdentity\.type: "any" is not known/],
    [
      {
        default: [
          {
            type: "sigstoreSigned",
            keyData: Buffer.from(pemOf(generateKeyPairSync("ec", { namedCurve: "P-384" }).publicKey)).toString(
              "base64",
            ),
          },
        ],
      },
      /must be a key for ECDSA P-256/,
    ],
  ] as const) {
    write(typeof policy === "string" ? policy : JSON.stringify(policy));
    await assert.rejects(node.images.pull("127.0.0.1:1/x"), { code: "invalid", message });
  }
  for (const [requirement, message] of [
    [{ type: "signedBy", keyType: "GPGKeys", keyPath: "/x" }, /asks for signedBy, which is not known here/],
    [{ type: "sigstoreSigned", fulcio: {} }, /asks for fulcio/],
  ] as const) {
    write(JSON.stringify({ default: [requirement] }));
    await assert.rejects(node.images.pull("127.0.0.1:1/x"), refused(message));
  }
});
