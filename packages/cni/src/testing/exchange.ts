import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { inNetns } from "@tripod/linux";

/** Answers on TCP and UDP, of both families, until it is ended. */
const server = `
const { createServer } = require("node:net");
const socket = require("node:dgram").createSocket("udp6");
socket.on("message", (message, from) => socket.send("udp " + message, from.port, from.address));
socket.bind(7007, () => createServer((peer) => peer.pipe(peer)).listen(7007, "::", () => console.log("ready")));`;

/** Asks every address by TCP and by UDP, which is asked again until it answers: frames may be lost while neighbours are found. */
const client = `
const { connect } = require("node:net"); const { createSocket } = require("node:dgram");
const tcp = (host) => new Promise((resolve, reject) => {
  const socket = connect(7007, host, () => socket.write("x"));
  socket.on("data", () => { socket.destroy(); resolve(); }).on("error", reject);
});
const udp = (host) => new Promise((resolve) => {
  const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
  const ask = () => socket.send("x", 7007, host);
  const timer = setInterval(ask, 100); ask();
  socket.on("error", () => {}).on("message", () => { clearInterval(timer); socket.close(); resolve(); });
});
Promise.all(process.argv.slice(1).map(async (host) => { await tcp(host); await udp(host); }))
  .then(() => console.log("answered"), (error) => console.log(String(error)));`;

/** Where from and where to; a namespace left out is the caller's. */
export interface ExchangeOptions {
  readonly from: string | undefined;
  readonly to: string | undefined;
  /** Of the server, IPv4 or IPv6. */
  readonly addresses: readonly string[];
}

const limitMs = 30_000;

/** Sends something to each of the addresses and back, by TCP and by UDP; rejects when one does not answer in 30 s. */
export async function exchange({ from, to, addresses }: ExchangeOptions): Promise<void> {
  const signal = AbortSignal.timeout(limitMs);
  const start = (netns: string | undefined, program: string, args: readonly string[] = []): ChildProcess =>
    inNetns(netns, () => spawn(process.execPath, ["-e", program, ...args], { stdio: ["ignore", "pipe", "inherit"] }));
  const said = async (child: ChildProcess): Promise<string> => {
    if (child.stdout === null) throw new Error("the child has no standard output");
    const [text] = await once(child.stdout, "data", { signal });
    return String(text).trim();
  };
  const answering = start(to, server);
  let asking: ChildProcess | undefined;
  try {
    await said(answering);
    asking = start(from, client, addresses);
    const outcome = await said(asking);
    if (outcome !== "answered") throw new Error(`no exchange with ${addresses.join(", ")}: ${outcome}`);
  } finally {
    for (const child of [answering, asking]) {
      if (child === undefined) continue;
      const gone = child.exitCode === null && child.signalCode === null ? once(child, "exit") : undefined;
      child.kill("SIGKILL");
      await gone;
    }
  }
}
