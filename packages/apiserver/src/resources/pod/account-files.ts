import type { PodSpec, Volume } from "@tripod/api/kubernetes";

/** Where programs look for the credentials of the API. */
const mountPath = "/var/run/secrets/kubernetes.io/serviceaccount";

const accountVolume = (name: string): Volume => ({
  name,
  projected: {
    defaultMode: 0o644,
    sources: [
      // Odd, so that whoever sees it knows that nobody asked for it by hand.
      { serviceAccountToken: { expirationSeconds: 3607, path: "token" } },
      { configMap: { name: "kube-root-ca.crt", items: [{ key: "ca.crt", path: "ca.crt" }] } },
      {
        downwardAPI: {
          items: [{ path: "namespace", fieldRef: { apiVersion: "v1", fieldPath: "metadata.namespace" } }],
        },
      },
    ],
  },
});

/** Gives each container that mounts nothing there its account's token, authority and namespace as files. */
export function addAccountFiles(spec: PodSpec, volumeName: string): void {
  const containers = [...spec.containers, ...(spec.initContainers ?? [])];
  const lacking = containers.filter(
    ({ volumeMounts = [] }) => !volumeMounts.some((each) => each.mountPath === mountPath),
  );
  if (lacking.length === 0) return;
  spec.volumes = [...(spec.volumes ?? []), accountVolume(volumeName)];
  for (const container of lacking)
    container.volumeMounts = [...(container.volumeMounts ?? []), { name: volumeName, readOnly: true, mountPath }];
}
