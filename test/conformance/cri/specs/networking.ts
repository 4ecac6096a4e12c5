import assert from "node:assert/strict";
import { createServer } from "node:net";
import { request } from "node:http";
import { NamespaceMode, Protocol } from "@tripod/api/cri";
import { eventually } from "../suite/eventually.ts";
import { topic } from "../suite/spec.ts";
import type { Sandbox, World } from "../suite/world.ts";

/** A port that nobody has at this moment. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      const port = typeof address === "object" ? (address?.port ?? 0) : 0;
      server.close(() => resolve(port));
    });
  });
}

/** What a web server answers to GET /, once it answers. */
function page(host: string, port: number): Promise<string> {
  const once = (): Promise<string | undefined> =>
    new Promise((resolve) => {
      const asked = request({ host, port, path: "/", timeout: 1000, agent: false }, (response) => {
        let text = "";
        response.on("data", (chunk: Buffer) => (text += chunk.toString()));
        response.once("end", () => resolve(text));
      });
      asked.once("timeout", () => asked.destroy());
      asked.once("error", () => resolve(undefined));
      asked.end();
    });
  return eventually(`${host}:${port} answers`, once);
}

/** A web server on port 80 of the sandbox that answers with `text`. */
const webServer = (world: World, sandbox: Sandbox, text: string): Promise<string> =>
  world.shell(sandbox, `echo ${text} >/www/index.html; exec httpd -f -p 80 -h /www`);

const addressOf = async (world: World, sandbox: Sandbox): Promise<string> =>
  (await world.sandboxStatus(sandbox.id)).network?.ip ?? "";

export const networking = topic("networking", {
  async "a sandbox has an address, which is the one of its interface"(world) {
    const pod = await world.pod();
    const address = await addressOf(world, pod);
    assert.notEqual(address, "");
    const inside = await world.exec(await world.run(pod), "ip", "-o", "addr");
    assert.ok(inside.includes(` ${address}/`), `${address} is not among ${inside}`);
  },
  async "the loopback interface of a sandbox is up"(world) {
    await world.exec(await world.run(await world.pod()), "ping", "-c", "1", "127.0.0.1");
  },
  async "the sandbox's hostname is each container's, by uname, HOSTNAME and /etc/hostname"(world) {
    const sandbox = await world.sandbox({ hostname: "of-the-spec" });
    const text = await world.output(sandbox, "hostname; echo $HOSTNAME; cat /etc/hostname");
    assert.equal(text, "of-the-spec\nof-the-spec\nof-the-spec");
  },
  async "resolv.conf holds what the sandbox's DNS configuration says"(world) {
    const dnsConfig = {
      servers: ["10.10.10.10", "10.10.10.11"],
      searches: ["a.example", "b.example"],
      options: ["ndots:8"],
    };
    const sandbox = await world.sandbox({ dnsConfig });
    const lines = (await world.output(sandbox, "cat /etc/resolv.conf")).split("\n").map((line) => line.trim());
    for (const expected of [
      "nameserver 10.10.10.10",
      "nameserver 10.10.10.11",
      "search a.example b.example",
      "options ndots:8",
    ])
      assert.ok(lines.includes(expected), `there is no line ${expected} in ${lines.join(" / ")}`);
  },
  async "containers of a sandbox reach one another on localhost"(world) {
    const sandbox = await world.sandbox();
    await webServer(world, sandbox, "neighbour");
    const client = await world.run(sandbox);
    const text = await eventually("the neighbour answers", async () => {
      const { stdout, exitCode } = await world.runtime.execSync({
        containerId: client,
        cmd: ["wget", "-q", "-O", "-", "http://127.0.0.1/"],
      });
      return exitCode === 0 ? Buffer.from(stdout).toString() : undefined;
    });
    assert.equal(text, "neighbour\n");
  },
  async "sandboxes reach one another by their addresses"(world) {
    const [server, client] = [await world.sandbox(), await world.sandbox()];
    await webServer(world, server, "other");
    const url = `http://${await addressOf(world, server)}/`;
    const id = await world.run(client);
    const text = await eventually("the other sandbox answers", async () => {
      const { stdout, exitCode } = await world.runtime.execSync({
        containerId: id,
        cmd: ["wget", "-q", "-O", "-", url],
      });
      return exitCode === 0 ? Buffer.from(stdout).toString() : undefined;
    });
    assert.equal(text, "other\n");
  },
  async "a port of a sandbox is reached by its address, also when only the container's port is mapped"(world) {
    const sandbox = await world.sandbox({ portMappings: [{ containerPort: 80 }] });
    await webServer(world, sandbox, "by-address");
    assert.equal(await page(await addressOf(world, sandbox), 80), "by-address\n");
  },
  async "a host port leads to the container's port, on the loopback address too"(world) {
    const hostPort = await freePort();
    const sandbox = await world.sandbox({ portMappings: [{ containerPort: 80, hostPort, protocol: Protocol.TCP }] });
    await webServer(world, sandbox, "by-port");
    assert.equal(await page("127.0.0.1", hostPort), "by-port\n");
  },
  async "a host port of one address is that address's only"(world) {
    const hostPort = await freePort();
    const sandbox = await world.sandbox({ portMappings: [{ containerPort: 80, hostPort, hostIp: "127.0.0.1" }] });
    await webServer(world, sandbox, "one-address");
    assert.equal(await page("127.0.0.1", hostPort), "one-address\n");
  },
  async "the host port of a stopped sandbox leads to the next one that asks for it"(world) {
    const hostPort = await freePort();
    const portMappings = [{ containerPort: 80, hostPort }];
    const first = await world.sandbox({ portMappings });
    await webServer(world, first, "first");
    assert.equal(await page("127.0.0.1", hostPort), "first\n");
    await world.runtime.stopPodSandbox({ podSandboxId: first.id });
    const second = await world.sandbox({ portMappings });
    await webServer(world, second, "second");
    assert.equal(await page("127.0.0.1", hostPort), "second\n");
  },
  async "a sandbox of the node's network serves on the node's ports"(world) {
    const linux = { securityContext: { namespaceOptions: { network: NamespaceMode.NODE } } };
    const sandbox = await world.sandbox({ linux });
    const port = await freePort();
    await world.shell(sandbox, `echo node >/www/index.html; exec httpd -f -p 127.0.0.1:${port} -h /www`, { linux });
    assert.equal(await page("127.0.0.1", port), "node\n");
  },
});
