import { attachmentName, type AttachmentView, type LinkView, type NetworkView } from "@tripod/cni";

const who = (attachment: AttachmentView): string => attachment.pod ?? attachment.containerId.slice(0, 13);

const linkLine = ({ name, kind, up, addresses, master, lower }: LinkView): string =>
  [
    name.padEnd(16),
    kind.padEnd(8),
    up ? "up  " : "down",
    addresses.join(" "),
    master === undefined ? "" : `in ${master}`,
    lower === undefined ? "" : `on ${lower}`,
  ]
    .filter((part) => part !== "")
    .join("  ");

const states = {
  attached: "",
  "cut-off": "  (its ADD was cut off: run tripod cni del)",
  gone: "  (its namespace is gone)",
};

/** The network as lines of text. */
export function networkText({ host, attachments, rules }: NetworkView): string {
  const lines = ["HOST", ...host.map((link) => `  ${linkLine(link)}`), "ATTACHMENTS"];
  for (const attachment of attachments) {
    lines.push(`  ${who(attachment)}  network ${attachment.network}  ${attachment.netns}${states[attachment.state]}`);
    lines.push(...attachment.links.map((link) => `    ${linkLine(link)}`));
    lines.push(...attachment.routes.map((route) => `    route ${route}`));
  }
  lines.push("RULES");
  const names = new Map(attachments.map((attachment) => [attachmentName(attachment), who(attachment)]));
  for (const { table, chain, rule, attachments: served } of rules) {
    const whose = [...new Set(served.map((name) => names.get(name) ?? name))].join(" ");
    lines.push(`  ${whose}  ${table}  ${chain}  ${rule.replace(/ comment ".*?"/, "")}`);
  }
  return lines.join("\n");
}

const quoted = (text: string): string => JSON.stringify(text);

/** The network as a graph in Graphviz's language: `tripod net show --dot | dot -Tsvg`. */
export function networkDot({ host, attachments }: NetworkView): string {
  const node = (id: string, link: LinkView): string =>
    `${quoted(id)} [shape=box, label=${quoted([link.name, link.kind, ...link.addresses].join("\n"))}];`;
  const edge = (from: string, to: string | undefined): string[] =>
    to === undefined ? [] : [`  ${quoted(from)} -- ${quoted(to)};`];
  const hostId = (name: string | undefined): string | undefined => name && `host/${name}`;
  const lines = ["graph network {", "  rankdir=LR;", "  subgraph cluster_host {", '    label="host";'];
  lines.push(...host.map((link) => `    ${node(`host/${link.name}`, link)}`), "  }");
  for (const [index, attachment] of attachments.entries()) {
    const id = ({ name }: { readonly name: string }): string => `${attachment.containerId}/${name}`;
    lines.push(`  subgraph cluster_${index} {`, `    label=${quoted(who(attachment))};`);
    lines.push(...attachment.links.map((link) => `    ${node(id(link), link)}`), "  }");
    for (const link of attachment.links) lines.push(...edge(id(link), hostId(link.lower)));
  }
  for (const link of host) lines.push(...edge(`host/${link.name}`, hostId(link.master)));
  return [...lines, "}"].join("\n");
}
