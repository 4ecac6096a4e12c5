/** An interface that an attachment made or moved (result of spec 1.1.0). */
export interface CniInterface {
  readonly name: string;
  readonly mac?: string;
  readonly mtu?: number;
  /** The network namespace's path; absent or "" when the interface is the host's. */
  readonly sandbox?: string;
  readonly socketPath?: string;
  readonly pciID?: string;
}

/** An address given to the container. */
export interface CniIp {
  /** Index into `interfaces`; 0 is as good as any other. */
  readonly interface?: number;
  /** In CIDR form: 10.1.0.5/24. */
  readonly address: string;
  readonly gateway?: string;
}

export interface CniRoute {
  /** In CIDR form. */
  readonly dst: string;
  readonly gw?: string;
  readonly mtu?: number;
  readonly advmss?: number;
  readonly priority?: number;
  readonly table?: number;
  readonly scope?: number;
}

export interface CniDns {
  readonly nameservers?: readonly string[];
  readonly domain?: string;
  readonly search?: readonly string[];
  readonly options?: readonly string[];
}

/** What a chain or a plugin answers to ADD, always in the shape of spec 1.1.0 whatever version was spoken on the wire. */
export interface CniResult {
  /** The version that was, or is to be, spoken on the wire. */
  readonly cniVersion: string;
  readonly interfaces: readonly CniInterface[];
  readonly ips: readonly CniIp[];
  readonly routes: readonly CniRoute[];
  readonly dns: CniDns;
}

/** A result that names nothing. */
export const emptyResult = (cniVersion: string): CniResult => ({
  cniVersion,
  interfaces: [],
  ips: [],
  routes: [],
  dns: {},
});
