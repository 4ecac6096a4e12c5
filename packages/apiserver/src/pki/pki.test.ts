import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { issueCertificate, makeAuthority } from "./issue-certificate.ts";
import { openPki } from "./pki.ts";

const dir = mkdtempSync("/tmp/tripod-pki-");
after(() => rmSync(dir, { recursive: true }));
const yearMs = 365 * 86_400_000;

test("the authority outlives ten years and signs what it issues, with the names asked for", async () => {
  const pki = await openPki({ pkiDir: join(dir, "a") });
  const authority = new X509Certificate(pki.caCertificate);
  assert.ok(authority.ca);
  assert.ok(authority.validToDate.getTime() - Date.now() > 10 * yearMs);
  const request = {
    commonName: "system:node:a,b",
    organizations: ["system:nodes"],
    sans: ["a.example", "10.0.0.1", "fd00::1"],
    usage: "server",
  } as const;
  const certificate = new X509Certificate((await pki.issue(request)).certificate);
  assert.ok(certificate.verify(authority.publicKey));
  assert.equal(certificate.toLegacyObject().subject.CN, "system:node:a,b");
  assert.equal(certificate.toLegacyObject().subject.O, "system:nodes");
  assert.equal(certificate.checkHost("a.example"), "a.example");
  assert.equal(certificate.checkIP("10.0.0.1"), "10.0.0.1");
  assert.equal(certificate.checkIP("fd00::1"), "fd00::1");
  assert.equal(certificate.checkHost("b.example"), undefined);
});

test("a kept certificate stays while it serves, and is issued anew for other names or when little time is left", async () => {
  const pkiDir = join(dir, "b");
  const pki = await openPki({ pkiDir });
  const request = { commonName: "x", sans: ["a"], usage: "server" } as const;
  const first = await pki.keep("serving", request);
  assert.deepEqual(await pki.keep("serving", request), first);
  const again = await openPki({ pkiDir });
  assert.deepEqual(await again.keep("serving", request), first);
  assert.equal(again.tokenKey.privateKey, pki.tokenKey.privateKey);
  const renamed = await pki.keep("serving", { ...request, sans: ["a", "b"] });
  assert.notDeepEqual(renamed, first);
  assert.deepEqual(await pki.keep("serving", request), renamed);
  const grouped = await pki.keep("serving", { ...request, organizations: ["g"] });
  assert.notDeepEqual(grouped, renamed);
  // A day of the two that it lives has passed before it is made: half is left, and after the short one less than a third.
  const short = await pki.keep("short", { ...request, days: 0.4 });
  assert.notDeepEqual(await pki.keep("short", { ...request, days: 0.4 }), short);
});

test("what another authority signed does not serve", async () => {
  const pkiDir = join(dir, "c");
  const request = { commonName: "x", usage: "client" } as const;
  const first = await (await openPki({ pkiDir })).keep("client", request);
  rmSync(join(pkiDir, "ca.pem"));
  const pki = await openPki({ pkiDir });
  assert.notDeepEqual(await pki.keep("client", request), first);
  assert.equal(readFileSync(join(pkiDir, "ca.crt"), "utf8"), pki.caCertificate);
  const stranger = await makeAuthority("tripod");
  const { certificate } = await issueCertificate(stranger, request);
  assert.ok(!new X509Certificate(certificate).verify(new X509Certificate(pki.caCertificate).publicKey));
});

test("killed while it is made, the PKI is whole at the next start", async () => {
  const pkiDir = join(dir, "d");
  const script = `import { openPki } from ${JSON.stringify(join(import.meta.dirname, "pki.ts"))}; await openPki({ pkiDir: ${JSON.stringify(pkiDir)} });`;
  const result = spawnSync(process.execPath, ["--input-type=module", "-e", script], {
    env: { ...process.env, TRIPOD_FAILPOINT: "apiserver.pki.authority-made" },
  });
  assert.equal(result.signal, "SIGKILL");
  const before = readFileSync(join(pkiDir, "ca.pem"), "utf8");
  const pki = await openPki({ pkiDir });
  assert.ok(before.startsWith(pki.caCertificate));
  assert.deepEqual(readdirSync(pkiDir).sort(), ["ca.crt", "ca.pem", "service-accounts.key"]);
});
