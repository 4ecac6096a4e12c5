import type { Pod } from "@tripod/api/kubernetes";
import { nameOf, namespaceOf } from "../pods/pod-facts.ts";

const maxHostnameLength = 63;

/** The host name of a Pod (at most 63 characters) and, where it has a subdomain, its whole domain name ("" otherwise). */
export function podHostname(
  pod: Pod,
  clusterDomain: string,
): { readonly hostname: string; readonly domainName: string } {
  const { hostname: asked, subdomain, setHostnameAsFQDN: asDomainName = false } = pod.spec ?? {};
  const short = (asked === undefined || asked === "" ? nameOf(pod) : asked)
    .slice(0, maxHostnameLength)
    .replace(/[-.]+$/, "");
  if (subdomain === undefined || subdomain === "") return { hostname: short, domainName: "" };
  const domainName = `${short}.${subdomain}.${namespaceOf(pod)}.svc.${clusterDomain}`;
  return { hostname: asDomainName ? domainName : short, domainName };
}
