import type { Pod } from "@tripod/api/kubernetes";
import { ageColumn, type Column, nameColumn, textColumn } from "../../table/column.ts";
import { podText } from "./pod-text.ts";

function gates({ spec, status }: Pod): string {
  const named = spec?.readinessGates ?? [];
  if (named.length === 0) return "<none>";
  const met = named.filter((gate) =>
    status?.conditions?.some((each) => each.type === gate.conditionType && each.status === "True"),
  );
  return `${met.length}/${named.length}`;
}

export const podColumns: readonly Column<Pod>[] = [
  nameColumn,
  textColumn<Pod>("Ready", (pod) => podText(pod).ready, {
    description: "How many of the Pod's containers are ready, and how many it has.",
  }),
  textColumn<Pod>("Status", (pod) => podText(pod).status, { description: "What the Pod is doing, or waits for." }),
  textColumn<Pod>("Restarts", (pod) => podText(pod).restarts, {
    description: "How often its containers were started again, and when last.",
  }),
  ageColumn,
  textColumn<Pod>("IP", ({ status }) => status?.podIP || status?.podIPs?.[0]?.ip || "<none>", { wide: true }),
  textColumn<Pod>("Node", ({ spec }) => spec?.nodeName || "<none>", { wide: true }),
  textColumn<Pod>("Nominated Node", ({ status }) => status?.nominatedNodeName || "<none>", { wide: true }),
  textColumn<Pod>("Readiness Gates", gates, { wide: true }),
];
