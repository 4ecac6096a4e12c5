import type { Pod, PriorityClass, RuntimeClass, ServiceAccount } from "@tripod/api/kubernetes";
import { forbidden } from "../../http/api-error.ts";
import { generatedName } from "../../registry/names.ts";
import type { ObjectStore } from "../../registry/object-store.ts";
import { priorityClasses } from "../priority-class.ts";
import { runtimeClasses } from "../runtime-class.ts";
import { serviceAccounts } from "../service-account.ts";
import { addAccountFiles } from "./account-files.ts";

const podName = { group: "", plural: "pods" } as const;

/** A Pod that only shows what a kubelet runs by itself. */
const isMirror = ({ metadata }: Pod): boolean => metadata.annotations?.["kubernetes.io/config.mirror"] !== undefined;

/** Gives a new Pod what follows from other objects: its service account, its RuntimeClass, its priority. */
export async function admitPod(pod: Pod, store: ObjectStore): Promise<void> {
  if (!isMirror(pod)) await admitServiceAccount(pod, store);
  await admitRuntimeClass(pod, store);
  await admitPriority(pod, store);
}

async function admitServiceAccount(pod: Pod, store: ObjectStore): Promise<void> {
  const { spec, metadata } = pod;
  const name = (spec.serviceAccountName ||= spec.serviceAccount || "default");
  spec.serviceAccount = name;
  const account = await store.find<ServiceAccount>(serviceAccounts, metadata.namespace, name);
  if (account === undefined) {
    const where = `${metadata.namespace}/${name}`;
    const why = `error looking up service account ${where}: serviceaccount ${JSON.stringify(name)} not found`;
    throw forbidden(podName, metadata.name ?? metadata.generateName ?? "", why);
  }
  const { automountServiceAccountToken = true, imagePullSecrets } = account.object;
  if ((spec.imagePullSecrets ?? []).length === 0 && imagePullSecrets !== undefined)
    spec.imagePullSecrets = imagePullSecrets;
  if (spec.automountServiceAccountToken ?? automountServiceAccountToken)
    addAccountFiles(spec, generatedName("kube-api-access-"));
}

async function admitRuntimeClass({ metadata, spec }: Pod, store: ObjectStore): Promise<void> {
  const name = spec.runtimeClassName;
  if (name === undefined) return;
  const found = await store.find<RuntimeClass>(runtimeClasses, undefined, name);
  if (found === undefined)
    throw forbidden(podName, metadata.name ?? "", `pod rejected: RuntimeClass ${JSON.stringify(name)} not found`);
  const { overhead, scheduling } = found.object;
  if (overhead?.podFixed !== undefined) {
    if (spec.overhead !== undefined && JSON.stringify(spec.overhead) !== JSON.stringify(overhead.podFixed))
      throw forbidden(
        podName,
        metadata.name ?? "",
        "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
      );
    spec.overhead = overhead.podFixed;
  }
  for (const [key, value] of Object.entries(scheduling?.nodeSelector ?? {})) {
    const own = spec.nodeSelector?.[key];
    if (own !== undefined && own !== value)
      throw forbidden(
        podName,
        metadata.name ?? "",
        `conflict: runtimeClass.scheduling.nodeSelector[${key}] = ${value}; pod.spec.nodeSelector[${key}] = ${own}`,
      );
    spec.nodeSelector = { ...spec.nodeSelector, [key]: value };
  }
  if (scheduling?.tolerations !== undefined)
    spec.tolerations = [...(spec.tolerations ?? []), ...scheduling.tolerations];
}

async function admitPriority({ metadata, spec }: Pod, store: ObjectStore): Promise<void> {
  const named = spec.priorityClassName;
  let found: PriorityClass | undefined;
  if (named) {
    found = (await store.find<PriorityClass>(priorityClasses, undefined, named))?.object;
    if (found === undefined)
      throw forbidden(podName, metadata.name ?? "", `no PriorityClass with name ${named} was found`);
  } else {
    const all = (await store.list<PriorityClass>(priorityClasses, undefined)).items.map((each) => each.object);
    found = all.filter((each) => each.globalDefault === true).sort((a, b) => (a.value ?? 0) - (b.value ?? 0))[0];
    if (found?.metadata.name !== undefined) spec.priorityClassName = found.metadata.name;
  }
  const value = found?.value ?? 0;
  if (spec.priority !== undefined && spec.priority !== value)
    throw forbidden(
      podName,
      metadata.name ?? "",
      `the integer value of priority (${spec.priority}) must not be provided in pod spec; priority admission controller computed ${value} from the given PriorityClass name`,
    );
  spec.priority = value;
  spec.preemptionPolicy ??= found?.preemptionPolicy ?? "PreemptLowerPriority";
}
