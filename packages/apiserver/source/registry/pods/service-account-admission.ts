import type { Pod } from "@tripod/api/kubernetes";
import { forbidden } from "../../http/api-error.ts";
import type { ObjectStore } from "../object-store.ts";

const serviceAccounts = {
  group: "",
  plural: "serviceaccounts",
  storageName: "serviceaccounts",
  namespaced: true,
} as const;
const mountPath = "/var/run/secrets/kubernetes.io/serviceaccount";

/** Gives a Pod its service account, and its containers the account's token, authority and namespace as files. */
export function admitServiceAccount(pod: Pod, store: ObjectStore, suffix: () => string): void {
  const { spec, metadata } = pod;
  if (spec === undefined || metadata.annotations?.["kubernetes.io/config.mirror"] !== undefined) return;
  spec.serviceAccountName ||= spec.serviceAccount || "default";
  spec.serviceAccount = spec.serviceAccountName;
  const account = store.find(serviceAccounts, metadata.namespace, spec.serviceAccountName);
  if (account === undefined) {
    throw forbidden(
      `error looking up service account ${metadata.namespace}/${spec.serviceAccountName}: serviceaccount ${JSON.stringify(spec.serviceAccountName)} not found`,
    );
  }
  const wanted = spec.automountServiceAccountToken ?? account.automountServiceAccountToken ?? true;
  const containers = [...spec.containers, ...(spec.initContainers ?? [])];
  const lacking = containers.filter(
    (container) => !(container.volumeMounts ?? []).some((mount) => mount.mountPath === mountPath),
  );
  if (wanted === false || lacking.length === 0) return;
  const name = `kube-api-access-${suffix()}`;
  spec.volumes = [
    ...(spec.volumes ?? []),
    {
      name,
      projected: {
        defaultMode: 0o644,
        sources: [
          { serviceAccountToken: { expirationSeconds: 3607, path: "token" } },
          { configMap: { name: "kube-root-ca.crt", items: [{ key: "ca.crt", path: "ca.crt" }] } },
          {
            downwardAPI: {
              items: [{ path: "namespace", fieldRef: { apiVersion: "v1", fieldPath: "metadata.namespace" } }],
            },
          },
        ],
      },
    },
  ];
  for (const container of lacking)
    container.volumeMounts = [...(container.volumeMounts ?? []), { name, readOnly: true, mountPath }];
}
