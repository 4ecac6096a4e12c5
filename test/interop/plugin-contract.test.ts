import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { after, test } from "node:test";
import type { JsonObject } from "@tripod/cni";
import { noUpstream, onFreshHost, testPluginContract, upstreamDir } from "@tripod/cni/testing";
import { TemporaryFolder } from "@tripod/linux/testing";
import { installPlugins } from "@tripod/plugin-bundle";
import { goProgram, goPrograms, interop, peer } from "@tripod/testing";

/** A plugin in another language: it puts an address on `lo`, and takes it away. */
const inShell = `#!/bin/sh
fail() { echo "{\\"cniVersion\\": \\"1.1.0\\", \\"code\\": $1, \\"msg\\": \\"$2\\"}"; exit 1; }
[ "$CNI_COMMAND" = VERSION ] && { echo '{"cniVersion": "1.1.0", "supportedVersions": ["1.0.0", "1.1.0"]}'; exit; }
[ "$CNI_COMMAND" = ADD ] && [ -z "$CNI_NETNS" ] && fail 4 "CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME, CNI_PATH are missing"
input=$(cat)
version=$(echo "$input" | sed -n 's/.*"cniVersion":"\\([0-9.]*\\)".*/\\1/p')
there() { nsenter --net="$CNI_NETNS" ip "$@" 2>/dev/null; }
case $CNI_COMMAND in
  ADD) there addr add 192.0.2.1/32 dev lo || fail 8 "no namespace $CNI_NETNS"
       echo "{\\"cniVersion\\": \\"$version\\", \\"ips\\": [{\\"address\\": \\"192.0.2.1/32\\"}]}" ;;
  DEL) there addr del 192.0.2.1/32 dev lo || true ;;
  GC) echo "$input" | grep -q valid-attachments || true ;;
  STATUS) case $version in 1.1.0) ;; *) fail 1 "\\"code\\" STATUS is of CNI 1.1" ;; esac ;;
esac
`;

if (onFreshHost(import.meta.url)) {
  const folder = new TemporaryFolder("plugin-contract");
  after(() => folder[Symbol.dispose]());
  await installPlugins(folder.join("own"));
  const ipam = (part: string): JsonObject => ({
    type: "host-local",
    dataDir: folder.join(part),
    ranges: [[{ subnet: "10.88.0.0/24" }]],
  });
  const configs: Readonly<Record<string, (part: string) => JsonObject>> = {
    bridge: (part) => ({ bridge: `c-${part}`, isGateway: true, ipam: ipam(part) }),
    ptp: (part) => ({ ipam: ipam(part) }),
    "host-local": (part) => ({ ipam: ipam(part) }),
    static: () => ({ ipam: { type: "static", addresses: [{ address: "10.88.0.2/24" }] } }),
  };

  const caller = "Tripod's contract suite";
  /** The suite on some of a folder's executables. */
  const suite = (
    callee: Parameters<typeof interop>[0]["callee"],
    dir: string,
    part: string,
    names: readonly string[],
  ): void => {
    for (const name of names) {
      const title = `${interop({ interface: "CNI", caller, callee })} | ${name}`;
      const config = configs[name]?.(part) ?? {};
      testPluginContract({ executable: folder.join(dir, name), path: folder.join(dir), config, title });
    }
  };

  suite("Tripod's executables", "own", "own", Object.keys(configs));

  const missing = noUpstream("bridge");
  if (missing !== false) test("upstream's executables of Debian", { skip: missing }, () => {});
  else {
    symlinkSync(upstreamDir, folder.join("debian"));
    suite(peer("upstream's plugins", "containernetworking-plugins"), "debian", "deb", Object.keys(configs));
  }

  const { bridge, ptp, hostLocal } = goPrograms;
  mkdirSync(folder.join("newest"));
  const built = [bridge, ptp, hostLocal].map((program) => ({ program, result: goProgram(program) }));
  const [skip] = built.flatMap(({ result }) => ("skip" in result ? [result.skip] : []));
  if (skip !== undefined) test("upstream's newest executables", { skip }, () => {});
  else {
    for (const { program, result } of built)
      if ("path" in result) symlinkSync(result.path, folder.join("newest", program.command.split("/").at(-1) ?? ""));
    suite(`upstream's plugins ${bridge.version.slice(1)}`, "newest", "new", ["bridge", "ptp", "host-local"]);
  }

  mkdirSync(folder.join("shell"));
  writeFileSync(folder.join("shell/in-shell"), inShell, { mode: 0o755 });
  suite("a plugin in shell", "shell", "sh", ["in-shell"]);
}
