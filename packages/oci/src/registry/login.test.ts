import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "@tripod/base";
import { tempRoot, type TempRoot } from "@tripod/testing";
import { Images } from "../images.ts";
import { memoryImage, misbehavingRegistry } from "./misbehaving-registry.ts";

const image = memoryImage(600_000);
const open = (root: TempRoot): Promise<Images> => Images.open({ layout: root.layout, log: silentLogger });

test("a bearer token is fetched with the user's name and password, and shown to that registry alone", async () => {
  const blobHost = await misbehavingRegistry(image);
  await using _blobs = blobHost;
  const tokens: string[] = [];
  await using registry = await misbehavingRegistry(image, (request, response, path) => {
    const url = new URL(request.url ?? "/", "http://x");
    if (path === "/token") {
      tokens.push(
        `${request.headers.authorization} ${url.searchParams.get("service")} ${url.searchParams.getAll("scope").join(",")}`,
      );
      response.end(JSON.stringify({ token: "T0KEN", expires_in: 60 }));
      return true;
    }
    if (request.headers.authorization !== "Bearer T0KEN") {
      response.writeHead(401, {
        "www-authenticate": `Bearer realm="http://${request.headers.host}/token",service="test",scope="repository:team/app:pull"`,
      });
      response.end('{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}');
      return true;
    }
    if (!path.includes("/blobs/")) return false;
    response.writeHead(307, { location: `http://${blobHost.host}${request.url}` }).end();
    return true;
  });
  await using root = tempRoot();
  await using images = await open(root);
  await images.pull(`${registry.host}/team/app`, { auth: { username: "me", password: "pä:ss" } });
  assert.ok(tokens.length >= 1);
  for (const token of tokens)
    assert.equal(token, `Basic ${Buffer.from("me:pä:ss").toString("base64")} test repository:team/app:pull`);
  assert.equal(blobHost.requests.length, 2);
  for (const { headers } of blobHost.requests) assert.equal(headers.authorization, undefined);
});

test("a bearer token that expires in the middle of a layer is replaced, and the layer goes on where it broke", async () => {
  let issued = 0;
  let valid = "";
  let broken = false;
  await using registry = await misbehavingRegistry(image, (request, response, path) => {
    if (path === "/token") {
      issued += 1;
      valid = `T${issued}`;
      response.end(JSON.stringify({ token: valid, expires_in: 60 }));
      return true;
    }
    if (request.headers.authorization !== `Bearer ${valid}`) {
      response.writeHead(401, {
        "www-authenticate": `Bearer realm="http://${request.headers.host}/token",service="s",error="invalid_token"`,
      });
      response.end();
      return true;
    }
    if (!path.endsWith(image.layerDigest) || broken) return false;
    broken = true;
    valid = "none: the last one has expired";
    response.writeHead(200, { "content-length": String(image.layer.length) });
    response.write(image.layer.subarray(0, 150_000), () => response.destroy());
    return true;
  });
  await using root = tempRoot();
  await using images = await open(root);
  await images.pull(`${registry.host}/app`);
  assert.equal(issued, 2);
  const ranges = registry.requests
    .filter(({ url, headers }) => url?.endsWith(image.layerDigest) && headers.authorization !== undefined)
    .map(({ headers }) => headers.range);
  // Whole, broken off; its rest with the old token, refused; its rest with the new one.
  assert.equal(ranges.length, 3);
  assert.equal(ranges[0], undefined);
  assert.match(ranges[1] ?? "", /^bytes=[1-9]\d+-$/);
  assert.equal(ranges[2], ranges[1]);
});

test("basic login, an identity token, a wrong password and credentials for another registry", async () => {
  const good = `Basic ${Buffer.from("me:secret").toString("base64")}`;
  let refreshed = "";
  await using basic = await misbehavingRegistry(image, (request, response) => {
    if (request.headers.authorization === good) return false;
    response
      .writeHead(401, { "www-authenticate": 'Basic realm="x"' })
      .end('{"errors":[{"code":"UNAUTHORIZED","message":"who are you"}]}');
    return true;
  });
  await using oauth = await misbehavingRegistry(image, (request, response, path) => {
    if (path === "/token") {
      request.on("data", (data: Buffer) => {
        refreshed += data.toString();
      });
      request.on("end", () => response.end('{"access_token":"A"}'));
      return true;
    }
    if (request.headers.authorization === "Bearer A") return false;
    response
      .writeHead(401, { "www-authenticate": `Bearer realm="http://${request.headers.host}/token",service="s"` })
      .end();
    return true;
  });
  await using root = tempRoot();
  await using images = await open(root);
  const name = `${basic.host}/app`;
  await assert.rejects(images.pull(name), { code: "unauthenticated", message: /who are you/ });
  await assert.rejects(images.pull(name, { auth: { username: "me", password: "wrong" } }), { code: "unauthenticated" });
  await assert.rejects(
    images.pull(name, { auth: { username: "me", password: "secret", serverAddress: "other.example" } }),
    { code: "unauthenticated" },
  );
  await images.pull(name, {
    auth: { auth: Buffer.from("me:secret").toString("base64"), serverAddress: `https://${basic.host}/v2/` },
  });
  await images.pull(`${oauth.host}/app`, { auth: { identityToken: "REFRESH" } });
  assert.equal(new URLSearchParams(refreshed).get("refresh_token"), "REFRESH");
  assert.equal(new URLSearchParams(refreshed).get("grant_type"), "refresh_token");
});
