import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { AsyncQueue, randomHex, TripodError } from "@tripod/base";
import { openRtnetlink } from "@tripod/linux";
import { FreshNetns, TemporaryFolder } from "@tripod/linux/testing";

/** A network of the host: the bridge `lan0`, and on it a namespace in which DHCP servers run, at 10.99.0.1/24. */
export class DhcpLan implements Disposable {
  readonly bridge = "lan0";
  readonly #netns = new FreshNetns();

  constructor() {
    using host = openRtnetlink();
    using there = openRtnetlink({ netns: this.#netns.path });
    host.linkAdd({ kind: "bridge", name: this.bridge, up: true });
    host.linkAdd({ kind: "veth", name: "to-lan", up: true, peer: { name: "lan", netns: this.#netns.path, up: true } });
    host.linkSet("to-lan", { master: host.linkByName(this.bridge).index });
    there.addressAdd({ index: there.linkByName("lan").index, address: "10.99.0.1/24" });
  }

  /** The namespace of the servers. */
  get netns(): string {
    return this.#netns.path;
  }

  /** Gives the servers' end another address. */
  serveFrom(address: string): void {
    using there = openRtnetlink({ netns: this.#netns.path });
    const { index } = there.linkByName("lan");
    for (const { address: old } of there.addresses({ index, family: "ipv4" }))
      there.addressDelete({ index, address: old });
    there.addressAdd({ index, address: `${address}/24` });
  }

  /** Puts an interface eth0, down, into a container's namespace, and its other end on the bridge. */
  plug(netns: string, { mac }: { readonly mac?: string } = {}): void {
    using host = openRtnetlink();
    const name = `veth${randomHex(4)}`;
    host.linkAdd({ kind: "veth", name, up: true, peer: { name: "eth0", netns, mac } });
    host.linkSet(name, { master: host.linkByName(this.bridge).index });
  }

  /** Cuts the servers off, or lets them be heard again. */
  cut(isCut: boolean): void {
    using host = openRtnetlink();
    host.linkSet("to-lan", { up: !isCut });
  }

  [Symbol.dispose](): void {
    using host = openRtnetlink();
    host.linkDelete("to-lan");
    host.linkDelete(this.bridge);
    this.#netns[Symbol.dispose]();
  }
}

export interface DhcpServerOptions {
  /** An hour unless told. */
  readonly leaseSeconds?: number | "infinite";
  /** First and last address; 10.99.0.10 to .250 unless told. */
  readonly range?: string;
  /** Lines for the configuration file. */
  readonly more?: readonly string[];
}

/** A DHCP server of others, in the namespace of a lan. */
export abstract class DhcpServer implements AsyncDisposable {
  readonly folder = new TemporaryFolder("dhcp");
  readonly #child: ChildProcess;
  readonly #lines = new AsyncQueue<string>();
  readonly #unread = this.#lines[Symbol.asyncIterator]();
  readonly #exit: Promise<unknown>;
  readonly said: string[] = [];

  protected constructor(lan: DhcpLan, command: (folder: TemporaryFolder) => readonly string[]) {
    this.#child = spawn("nsenter", [`--net=${lan.netns}`, ...command(this.folder)], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#exit = once(this.#child, "exit");
    for (const stream of [this.#child.stdout, this.#child.stderr])
      if (stream !== null) createInterface({ input: stream }).on("line", (line) => this.#lines.push(line));
  }

  /** Waits until the server says what matches, in a line that it has not been asked about yet. */
  async says(pattern: RegExp): Promise<string> {
    const late = (): TripodError =>
      new TripodError("timeout", `the DHCP server never said ${pattern}; it said:\n${this.said.join("\n")}`);
    const timer = setTimeout(() => this.#lines.fail(late()), 30_000);
    try {
      for (;;) {
        const { value, done } = await this.#unread.next();
        if (done === true) throw late();
        this.said.push(value);
        if (pattern.test(value)) return value;
      }
    } finally {
      clearTimeout(timer);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#exit;
    this.folder[Symbol.dispose]();
  }
}

/** dnsmasq, which keeps its leases in a text file; it knows none shorter than two minutes. */
export class Dnsmasq extends DhcpServer {
  static async start(lan: DhcpLan, options: DhcpServerOptions = {}): Promise<Dnsmasq> {
    const server = new Dnsmasq(lan, (folder) => {
      const config = [
        "port=0",
        "interface=lan",
        "bind-interfaces",
        "dhcp-authoritative",
        "no-ping",
        "log-dhcp",
        `dhcp-range=${options.range ?? "10.99.0.10,10.99.0.250"},255.255.255.0,${options.leaseSeconds ?? 3600}`,
        `dhcp-leasefile=${folder.join("leases")}`,
        ...(options.more ?? []),
      ];
      writeFileSync(folder.join("dnsmasq.conf"), `${config.join("\n")}\n`);
      return [
        "dnsmasq",
        "-k",
        "--log-facility=-",
        "--user=root",
        "--pid-file",
        `--conf-file=${folder.join("dnsmasq.conf")}`,
      ];
    });
    await server.says(/started/);
    return server;
  }

  /** The addresses that somebody has. */
  leased(): readonly string[] {
    const path = this.folder.join("leases");
    if (!existsSync(path)) return [];
    return [...readFileSync(path, "utf8").matchAll(/^\d+ \S+ (\S+) /gm)].map(([, address = ""]) => address);
  }
}

/** busybox's udhcpd, which gives leases of any length. */
export class Udhcpd extends DhcpServer {
  static async start(lan: DhcpLan, options: DhcpServerOptions = {}): Promise<Udhcpd> {
    const server = new Udhcpd(lan, (folder) => {
      const config = [
        "start 10.99.0.10",
        "end 10.99.0.250",
        "interface lan",
        "min_lease 1",
        `lease_file ${folder.join("leases")}`,
        "option subnet 255.255.255.0",
        "option router 10.99.0.1",
        `option lease ${options.leaseSeconds ?? 3600}`,
        ...(options.more ?? []),
      ];
      writeFileSync(folder.join("leases"), "");
      writeFileSync(folder.join("udhcpd.conf"), `${config.join("\n")}\n`);
      return ["busybox", "udhcpd", "-f", "-a", "0", folder.join("udhcpd.conf")];
    });
    await server.says(/started/);
    return server;
  }
}
