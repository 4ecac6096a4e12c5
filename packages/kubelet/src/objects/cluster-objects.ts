import type { Pod, Secret } from "@tripod/api/kubernetes";
import { isTripodError, type Logger, TripodError } from "@tripod/base";
import { type KubeClient, persistentVolumeClaims, pods, runtimeClasses, volumeAttachments } from "@tripod/kube";
import { nameOf, namespaceOf, uidOf } from "../pods/pod-facts.ts";
import type { PodObjects } from "../pods/pod-context.ts";
import { ClaimFollower } from "./claim-follower.ts";
import { ConfigFollower } from "./config-follower.ts";
import { DriverFollower } from "./driver-follower.ts";
import { ServiceAccountTokens } from "./service-account-tokens.ts";
import { ServiceFollower } from "./service-follower.ts";
import { waitForObject } from "./wait-for-object.ts";

/** Upstream waits this long for an attachment before it says so and begins anew. */
const attachTimeoutMs = 120_000;

/** gRPC's number, as attachers write it down. */
const resourceExhausted = 8;

/** What Pods need of the API server, over one client. */
export interface ClusterObjects extends PodObjects, AsyncDisposable {}

/** Opens the objects of a cluster; nothing is asked before a Pod needs it. */
export function clusterObjects(client: KubeClient, log: Logger): ClusterObjects {
  const config = new ConfigFollower(client, log);
  const claims = new ClaimFollower(client, log);
  const drivers = new DriverFollower(client, log);
  const services = new ServiceFollower(client, log);
  const tokens = new ServiceAccountTokens(client);

  const attached: ClusterObjects["attached"] = async (name, { limited }, signal) => {
    let refusal = "the attacher has not answered";
    try {
      const found = await waitForObject(
        client.resource(volumeAttachments),
        name,
        (object) => {
          if (object === undefined) refusal = "nobody has asked for it yet: there is no such VolumeAttachment";
          else refusal = object.status?.attachError?.message ?? "the attacher has not answered";
          if (limited && object?.status?.attachError?.errorCode === resourceExhausted) {
            throw new TripodError("exhausted", `attachment ${name}: ${refusal}`);
          }
          return object?.status?.attached === true;
        },
        { signal, timeoutMs: attachTimeoutMs },
      );
      return found?.status?.attachmentMetadata ?? {};
    } catch (cause) {
      if (!isTripodError(cause, "timeout")) throw cause;
      throw new TripodError("timeout", `timed out waiting for attachment ${name}: ${refusal}`, { cause });
    }
  };

  const pullSecrets = async (pod: Pod): Promise<Secret[]> => {
    const names = (pod.spec?.imagePullSecrets ?? []).map(({ name }) => name ?? "").filter((name) => name !== "");
    const found = await Promise.all(names.map((name) => config.secret(namespaceOf(pod), name)));
    return found.filter((secret) => secret !== undefined);
  };

  const patchClaimStatus: ClusterObjects["patchClaimStatus"] = async ({ metadata }, change) => {
    const { name = "", namespace = "default", uid } = metadata ?? {};
    const resource = client.resource(persistentVolumeClaims);
    for (;;) {
      const now = await resource.get(name, { namespace });
      if (now.metadata.uid !== uid)
        throw new TripodError("conflict", `PVC ${namespace}/${name}: another took its place`);
      const patch = { metadata: { resourceVersion: now.metadata.resourceVersion }, status: change(now) };
      try {
        await resource.patch(name, patch, { namespace, subresource: "status" });
        return;
      } catch (error) {
        if (!isTripodError(error, "conflict")) throw error;
      }
    }
  };

  const removePod = async (pod: Pod): Promise<void> => {
    try {
      await client
        .resource(pods)
        .delete(nameOf(pod), { namespace: namespaceOf(pod), gracePeriodSeconds: 0, uid: uidOf(pod) });
    } catch (error) {
      // Gone already, or another Pod of the same name has taken its place.
      if (!isTripodError(error, "not-found", "conflict")) throw error;
    }
  };

  return {
    configMap: (namespace, name) => config.configMap(namespace, name),
    secret: (namespace, name) => config.secret(namespace, name),
    claim: (namespace, name) => claims.claim(namespace, name),
    persistentVolume: (name) => claims.volume(name),
    patchClaimStatus,
    csiDriver: (name) => drivers.driver(name),
    runtimeClass: (name) => client.resource(runtimeClasses).find(name),
    serviceVariables: (pod) => services.variables(pod),
    token: tokens.token,
    attached,
    pullSecrets,
    removePod,
    follow(pod, onConfig, onClaim) {
      config.follow(pod, onConfig);
      claims.follow(pod, onClaim);
    },
    unfollow(podUid) {
      claims.unfollow(podUid);
      config.unfollow(podUid);
      tokens.forget(podUid);
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([
        config[Symbol.asyncDispose](),
        claims[Symbol.asyncDispose](),
        drivers[Symbol.asyncDispose](),
        services[Symbol.asyncDispose](),
      ]);
    },
  };
}
